-- For warm-ups only: one byte in a file for each request that is sent, so that the file's size is their number. Calling
-- request() costs wrk some speed, which the measured runs, without it, do not pay.
local sent

function init(args)
   sent = assert(io.open(args[1], "a"))
   sent:setvbuf("no")
end

function request()
   sent:write(".")
   return bytes
end
