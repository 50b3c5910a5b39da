-- For warm-ups only: one byte in a file for each request that is sent, so that the file's size is their number. Calling
-- request() costs wrk some speed, which the measured runs of a single request, without it, do not pay.
local written
local begin, next_request = init, request

function init(args)
   written = assert(io.open(args[1], "a"))
   written:setvbuf("no")
   if begin then
      begin(args)
   end
end

function request()
   written:write(".")
   return next_request and next_request() or bytes
end
