-- Sends the tokens of a file in turn, and ends with one line of JSON.

local requests = {}
local next_one = 0

function init(args)
   local path = args[1]
   if path == nil or path == "" then
      requests[1] = wrk.format("GET")
      return
   end
   for token in io.lines(path) do
      wrk.headers["Authorization"] = "Bearer " .. token
      requests[#requests + 1] = wrk.format("GET")
   end
end

function request()
   next_one = next_one % #requests + 1
   return requests[next_one]
end

function done(summary, latency, _)
   local errors = summary.errors
   -- wrk counts only statuses from 400 up; the answers that a proxy gives here are 200 or such.
   local sum = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format('{"requests": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\n',
      summary.requests, sum, latency:percentile(50), latency:percentile(99)))
end
