-- For wrk: posts the bodies of a file, one a line, in turn.
--   wrk ... -s wrk.lua URL -- BODIES [MILLISECONDS_BETWEEN_REQUESTS_OF_A_CONNECTION]
-- The last line that it prints is its result as JSON.

local requests, at, pause = {}, 0, 0

function init(args)
  pause = tonumber(args[2] or 0)
  math.randomseed(1)
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

-- wrk waits for whole milliseconds; on average it waits as long as it should.
function delay()
  return math.floor(pause + math.random())
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "errors": %d, "p50_ms": %f, "p99_ms": %f}\n', summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
