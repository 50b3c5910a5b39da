-- Sends the requests of a tape: each thread takes its share of them, one after the other, and then from the beginning.
-- The file has for each request a line with its length and the places of serial numbers, and then its bytes. It is read
-- before the run: request() only looks one up, and joins its pieces if serial numbers stand between them.
local tape, pieces, size, position, joined = {}, {}, 0, 0, false
number, sent = 1, {0} -- `sent` is a table, as a global number would be looked up by its name twice for each request
local counter = sent

function setup(thread)
   threads[#threads + 1] = thread
   thread:set("number", #threads)
end

local function split(raw, places)
   local found, start = {}, 1
   for place in places:gmatch("%d+") do
      found[#found + 1] = raw:sub(start, tonumber(place))
      start = tonumber(place) + 10
   end
   found[#found + 1] = raw:sub(start)
   return #found > 1 and found or nil
end

function init(args)
   local file, index = assert(io.open(args[#args], "rb")), 0
   for line in file:lines() do
      local length, places = line:match("^(%d+) ?(.*)$")
      local raw = file:read(tonumber(length))
      if index % threads_asked == number - 1 then
         size = size + 1
         tape[size], pieces[size] = raw, split(raw, places) or false
         joined = joined or pieces[size]
      end
      index = index + 1
   end
   file:close()
   counter[1] = begun and begun[number] or 0 -- by a run before this one
   position = counter[1] % size
   if number == 1 then
      counter[1] = counter[1] - 1 -- wrk asks for one request to look at it, and does not send it
   end
end

function request()
   local at = position + 1
   if at > size then
      at = 1
   end
   position = at
   counter[1] = counter[1] + 1
   local parts = joined and pieces[at]
   if not parts then
      return tape[at]
   end
   local serial = first_serial + (counter[1] - 1) * threads_asked + number - 1
   if #parts == 2 then
      return parts[1] .. serial .. parts[2]
   end
   return table.concat(parts, serial)
end
