-- Sends the requests of a tape: each thread takes its share of them, one after the other, and then from the beginning.
-- The file has for each request a line with its length and the places of serial numbers, and then its bytes. It is read
-- before the run: request() only looks one up.
local tape, serials, size = {}, {}, 0
sent, number = 0, 1

function setup(thread)
   threads[#threads + 1] = thread
   thread:set("number", #threads)
end

function init(args)
   local file, position = assert(io.open(args[#args], "rb")), 0
   for line in file:lines() do
      local length, places = line:match("^(%d+) ?(.*)$")
      local raw = file:read(tonumber(length))
      if position % threads_asked == number - 1 then
         size = size + 1
         tape[size] = raw
         for place in places:gmatch("%d+") do
            serials[size] = serials[size] or {}
            table.insert(serials[size], tonumber(place))
         end
      end
      position = position + 1
   end
   file:close()
   if number == 1 then
      sent = -1 -- wrk asks for one request to look at it, and does not send it
   end
end

function request()
   local index = sent % size + 1
   sent = sent + 1
   local places, raw = serials[index], tape[index]
   if places then
      local serial = string.format("%09d", first_serial + (sent - 1) * threads_asked + number - 1)
      for _, place in ipairs(places) do
         raw = raw:sub(1, place) .. serial .. raw:sub(place + 10)
      end
   end
   return raw
end
