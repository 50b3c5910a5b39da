-- Only done(): a script without request() and response() leaves wrk on its fast path (static request, no callback).
-- `histogram` is set if several generators load a server: then their latencies are added up, and each prints all that it has.
-- %d of the numbers below is exact: they are whole and far below 2^53.
threads = {}

function done(summary, latency, requests)
   local errors, sent = summary.errors, {}
   for number, thread in ipairs(threads) do
      sent[number] = string.format("%d", thread:get("sent")[1])
   end
   io.write(string.format(
      '%s{"duration_us":%d,"requests":%d,"bytes":%d,'
      .. '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,'
      .. '"mean_us":%.3f,"stdev_us":%.3f,"min_us":%d,"max_us":%d,'
      .. '"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"sent":[%s]}\n',
      sentinel, summary.duration, summary.requests, summary.bytes,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout,
      latency.mean, latency.stdev, latency.min, latency.max,
      latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9),
      table.concat(sent, ",")))
   if histogram then
      local rows = {}
      for number = 1, #latency do
         rows[number] = string.format("%d %d", latency(number))
      end
      io.write(histogram, table.concat(rows, ","), "\n")
   end
end
