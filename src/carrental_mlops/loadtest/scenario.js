// Written by `crm loadtest`. Open model: requests come at their planned time, whether or not earlier ones were answered.
import http from "k6/http";
import exec from "k6/execution";
import { SharedArray } from "k6/data";
import { Counter, Rate, Trend } from "k6/metrics";

const plan = __PLAN__;

const rows = new SharedArray("rows", () => JSON.parse(open("./rows.json")));
const answerMs = new Trend("answer_ms", true); // good answers: wait for a connection, send, wait, receive
const lateMs = new Trend("late_ms", true); // how much later than planned a request left: the load generator's own fault
const failed = new Rate("failed");
const statuses = new Counter("statuses");

export const options = {
  scenarios: plan.scenarios,
  thresholds: plan.thresholds,
  summaryTrendStats: ["avg", "p(50)", "p(95)", "p(99)", "max", "count"],
  noCookiesReset: true,
  userAgent: "crm-loadtest",
};

const headers = { "Content-Type": "application/json" };
if (__ENV.CRM_LOADTEST_TOKEN) headers.Authorization = `Bearer ${__ENV.CRM_LOADTEST_TOKEN}`;

function isGood(reply, id) {
  if (reply.status !== 200) return false;
  try {
    const answer = JSON.parse(reply.body);
    return answer.id === id && answer.outputs.length > 0 && answer.outputs.every((o) => o.data.length === 1);
  } catch {
    return false;
  }
}

export default function () {
  const { name, startTime, iterationInTest } = exec.scenario;
  const rate = plan.rates[name];
  if (rate) lateMs.add(Math.max(0, Date.now() - startTime - (1000 * iterationInTest) / rate));
  const id = `loadtest-${plan.id}-${name}-${iterationInTest}`;
  const body = `{"id":"${id}",${rows[iterationInTest % rows.length]}`;
  const reply = http.post(plan.url, body, { headers, timeout: plan.timeout });
  const good = isGood(reply, id);
  failed.add(!good);
  statuses.add(1, { status: good ? "200" : reply.status === 200 ? "wrong" : String(reply.status) });
  if (good) answerMs.add(reply.timings.blocked + reply.timings.duration);
}

export function handleSummary(data) {
  return { [__ENV.CRM_SUMMARY]: JSON.stringify(data) };
}
