-- The index of a record: `logs-<data class>` from the pod's label, `cluster-internal` for the cluster's own pods.
-- A pod that declares no class, or one that is unknown, counts as personal: the shortest to be kept.
-- Texts of personal and confidential pods are masked: whatever looks like the number of a person's document, account,
-- card or phone, and e-mail addresses.
local classes = {public = true, internal = true, confidential = true, personal = true}
local clear = {public = true, internal = true}
local ours = {kubernetes = true, trace_id = true, time = true, stream = true, logger = true, places = true, _p = true}
local texts = {"message", "log", "level", "logger", "error", "trace_id"}

local function word(text)
    local _, digits = text:gsub("%d", "")
    if (#text >= 8 and digits >= 3 and digits < #text) or digits >= 9 then
        return "***"
    end
end

local function masked(text)
    text = text:gsub("[%w._%%+-]+@[%w.-]+", "***")
    text = text:gsub("%u%u%d%d [%u%d][%u%d][%u%d][%u%d] [%u%d ]*[%u%d]", "***")
    text = text:gsub("%d%d%d%d[ -]%d%d%d%d[ -]%d%d%d%d[ -]%d+", "***")
    text = text:gsub("%+%d[%d /()-]+%d", "***")
    return (text:gsub("%w+", word))
end

local function mask(value)
    if type(value) == "string" then
        return masked(value)
    elseif type(value) == "number" and (value >= 1e8 or value <= -1e8) then
        return masked(string.format("%.0f", value))
    elseif type(value) == "table" then
        for key, inner in pairs(value) do
            value[key] = mask(inner)
        end
    end
    return value
end

local function shown(value)
    if type(value) ~= "table" then
        return tostring(value)
    end
    local parts = {}
    for key, inner in pairs(value) do
        parts[#parts + 1] = tostring(key) .. "=" .. shown(inner)
    end
    table.sort(parts)
    return table.concat(parts, " ")
end

function index(tag, timestamp, record)
    local pod = record["kubernetes"] or {}
    local class = (pod["labels"] or {})["crm.carrental/data-class"]
    if not (class and classes[class]) then
        class = "personal"
    end
    -- An index takes one kind of value in a field: one line with another would hold up all that are sent with it.
    for _, name in ipairs(texts) do
        if record[name] ~= nil and type(record[name]) ~= "string" then
            record[name] = shown(record[name])
        end
    end
    if pod["namespace_name"] == "kube-system" or pod["namespace_name"] == "ingress" or tag:sub(1, 6) == "events" then
        record["index"] = "cluster-internal"
        return 2, timestamp, record
    end
    if not clear[class] then
        for name, value in pairs(record) do
            if not ours[name] then
                record[name] = mask(value)
            end
        end
    end
    record["index"] = "logs-" .. class
    return 2, timestamp, record
end
