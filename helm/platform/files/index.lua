-- The index of a record: `logs-<data class>` from the pod's label, `cluster-internal` for the cluster's own pods.
-- A pod that declares no class, or one that is unknown, counts as personal: the shortest to be kept.
local classes = {public = true, internal = true, confidential = true, personal = true}

function index(tag, timestamp, record)
    local pod = record["kubernetes"] or {}
    local class = (pod["labels"] or {})["crm.carrental/data-class"]
    local ours = pod["namespace_name"] == "kube-system" or pod["namespace_name"] == "ingress"
    if ours or tag:sub(1, 6) == "events" then
        record["index"] = "cluster-internal"
    elseif class and classes[class] then
        record["index"] = "logs-" .. class
    else
        record["index"] = "logs-personal"
    end
    return 2, timestamp, record
end
