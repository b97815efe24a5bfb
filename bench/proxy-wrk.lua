-- Makes wrk print what it saw as one line of JSON, its last: a Load of proxy-load.ts.
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"completed":%d,"failed":%d,"bytes":%d,"seconds":%f,"p50Us":%d,"p99Us":%d,"p999Us":%d}\n',
    summary.requests - errors.status, failed, summary.bytes, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
