---@meta perilune.actor
---Actors: pieces of a program that share nothing and speak by messages. Each has a Lua state of
---its own, a mailbox, a memory limit, and one or more tasks (coroutines) that wait without
---blocking the thread.
---
---Messages, arguments and replies are copied: nil, booleans, integers, floats, strings, trees of
---tables, pids, requests, `json.null`. Loops, metatables and other userdata raise, and the message
---names the place (`message.user.conn`). Lua functions travel only in `spawn`, with their
---upvalues.
---
---Misuse raises. What can go wrong otherwise is returned as `nil, message, code`. Durations are
---seconds, or text like `"250ms"`, `"1m30s"`; sizes are bytes, or text like `"64KB"`.
---
---The guide is docs/actors.md; where nothing can wait: docs/boundaries.md.
local actor = {}

---Who an actor is: a value that can be compared, sent, used as a table's key and printed (`<pid
---3.1>`). A pid never means another actor, also when the first one is gone.
---@alias perilune.actor.Pid lightuserdata

---What stands for the request when a message comes from the runtime: `receive` returns it as its
---second value with a `perilune.actor.Down` or `perilune.actor.Exit`.
---@type lightuserdata
actor.SYSTEM = nil

---@class perilune.actor.SpawnOptions
---@field name? string registered before anybody else sees the actor; 1 to 255 bytes
---@field link? boolean linked from its first moment; default false
---@field monitor? boolean monitored from its first moment; default false
---@field on? integer the worker, from 0; default: the spawner's unless that has clearly more to do
---@field memory_limit? integer|string bytes that its state may hold; default: none
---@field mailbox? perilune.actor.MailboxOptions

---@class perilune.actor.MailboxOptions
---@field capacity? integer messages, 1 to 16777216; default 1024
---@field overflow? "reject"|"block"|"drop_new"|"drop_oldest" when it is full; default reject
---@field timeout? number|string for `block`: how long a sender waits at most; default 5s

---Starts an actor: a function with its arguments, or a module's name, whose function `start` is
---run (or the module itself, where it is a function). It ends when the function returns, with its
---tasks and timers.
---
---`spawn(options, fn, ...)` takes options first. With `monitor`, the reference is the fourth
---result.
---
---Errors: `name_taken`, `limit` (268 million actors), `no_memory`, `stopped`.
---@param options perilune.actor.SpawnOptions|function|string left out, this is `fn`
---@param fn function|string|any
---@param ... any arguments, copied
---@return perilune.actor.Pid? pid
---@return string? err
---@return string? code
---@return integer? ref
function actor.spawn(options, fn, ...) end

---The pid of the calling actor.
---@return perilune.actor.Pid pid
function actor.self() end

---Sends a message. It is in the mailbox, or on its way there, when this returns; that somebody
---will read it is not said. What one actor sends to another arrives in the order in which it was
---sent.
---
---Waits only for a mailbox that blocks and is full, and for a name whose child is being restarted.
---
---Errors: `noproc`, `mailbox_full`.
---@param to perilune.actor.Pid|string a pid or a registered name
---@param message any copied; up to 64 MB, 100 levels of tables, 255 requests
---@return boolean? ok
---@return string? err
---@return string? code
function actor.send(to, message) end

---Sends a request and waits for the reply, which it returns as the other side gave it: `value,
---err, code`. A call made while a request is being served ends at the latest with that request's
---own deadline.
---
---Errors: `timeout`, `noproc`, `mailbox_full`, `exited` (it ended without a reply), `no_reply` (it
---dropped the request), `call_cycle` (the call would wait for itself), `bad_request`, and those of
---the other side.
---@param to perilune.actor.Pid|string
---@param message any
---@param options? perilune.actor.CallOptions
---@return any value
---@return string? err
---@return string? code
function actor.call(to, message, options) end

---@class perilune.actor.CallOptions
---@field timeout? number|string default 5s

---Waits for the next message. The second result is nil for a plain `send`, a request for a `call`
---or a `stream`, and `actor.SYSTEM` for a message of the runtime. Tasks that wait at the same time
---get one message each, in the order in which they asked.
---
---Errors: `timeout`.
---@param timeout? number|string default: for ever
---@return any message
---@return perilune.actor.Request|lightuserdata|string|nil request or, behind nil, what went wrong
---@return string? code
function actor.receive(timeout) end

---Waits for the first message that a function says yes to. The others stay where they are, in
---order. The function may itself wait and receive.
---
---Errors: `timeout`.
---@param fn fun(message: any, request: any): any true for the one to take
---@param timeout? number|string default: for ever
---@return any message
---@return perilune.actor.Request|lightuserdata|string|nil request or, behind nil, what went wrong
---@return string? code
function actor.receive_match(fn, timeout) end

---For a loop over all messages, for ever: `for message, request in actor.messages() do`. It ends
---at a message that is nil.
---@return fun(): any, any next
function actor.messages() end

---Serves messages for ever. With a table, a message `{ "name", ... }` calls the function of that
---name with the rest as arguments, and what it returns is the reply; another message is answered
---with `bad_request`. Messages of the runtime go to the functions `down` and `exit` and are
---dropped where there is none.
---
---With a function, each message and its request is given to it; what it returns is the reply, and
---if it returns nothing, the request is left to it. An error ends the actor, and its callers get
---`exited`.
---@param handler table<string, function>|fun(message: any, request: any): ...
function actor.serve(handler) end

---Asks an actor for a stream: it gets the message with a request, and answers with
---`request:stream()`. Values may be written and read at once: a write waits for the answer. `for x
---in actor.stream(...)` reads until the end, and leaving the loop closes it.
---
---A plain reply is a stream of one value; an error as a reply is what the first read returns.
---
---Errors: `noproc`, `mailbox_full`, and `timeout` at the first read or write.
---@param to perilune.actor.Pid|string
---@param message any
---@param options? perilune.actor.StreamOptions
---@return perilune.actor.Stream? stream
---@return string? err
---@return string? code
---@return perilune.actor.Stream? closing for the loop
function actor.stream(to, message, options) end

---@class perilune.actor.StreamOptions
---@field credit? integer values the other side may be ahead of the reader, 1 to 65536; default 16
---@field timeout? number|string until somebody must have answered; default 5s

---Links the two, in both directions: when one ends with another reason than `normal`, the other
---ends with that reason, or, if it traps exits, gets a `perilune.actor.Exit`. To link to the dead
---is as if it ended now.
---
---Errors: `noproc` for a name that nobody has.
---@param to perilune.actor.Pid|string
---@return boolean? ok
---@return string? err
---@return string? code
function actor.link(to) end

---Takes a link away.
---
---Errors: `noproc` for a name that nobody has.
---@param to perilune.actor.Pid|string
---@return boolean? ok
---@return string? err
---@return string? code
function actor.unlink(to) end

---Asks for a `perilune.actor.Down` when the other one ends; for the dead it comes at once, with
---reason `noproc`.
---
---Errors: `noproc` for a name that nobody has, `no_memory`.
---@param to perilune.actor.Pid|string
---@return integer? ref
---@return string? err
---@return string? code
function actor.monitor(to) end

---Takes a monitor back. A message that is in the mailbox already stays there.
---@param ref integer
---@return boolean was_there
function actor.demonitor(ref) end

---What a monitor sends, once.
---@class perilune.actor.Down
---@field type "down"
---@field ref integer the monitor's
---@field pid perilune.actor.Pid who has ended
---@field reason string `normal`, `shutdown`, `killed`, `error`, `noproc`, or what `exit` was given
---@field error? string of reason `error`: the message
---@field traceback? string of reason `error`

---What a link sends to an actor that traps exits, and what `exit` sends to it.
---@class perilune.actor.Exit
---@field type "exit"
---@field pid perilune.actor.Pid who has ended, or asks for it
---@field reason string
---@field error? string
---@field traceback? string

---Asks an actor to end with a reason. `"kill"` cannot be trapped, and the others see the reason
---`killed`; `"normal"` from another actor is ignored unless it is trapped. With the caller's own
---pid it does not return, unless it traps exits. Who ends runs its `<close>` variables (at most 5
---s) and then closes what it had opened.
---
---Errors: `noproc` for a name that nobody has.
---@param to perilune.actor.Pid|string
---@param reason string
---@return boolean? ok
---@return string? err
---@return string? code
function actor.exit(to, reason) end

---Whether exits of others come as messages.
---@param on boolean
---@return boolean before
function actor.trap_exit(on) end

---Gives the calling actor a name; it has one at most, until it ends.
---
---Errors: `name_taken`, `exists` (it has a name).
---@param name string 1 to 255 bytes
---@return boolean? ok
---@return string? err
---@return string? code
function actor.register(name) end

---Gives the name back.
---@return boolean had_one
function actor.unregister() end

---Who has a name; one of its members where it is a group's.
---@param name string
---@return perilune.actor.Pid? pid
function actor.whereis(name) end

---@class perilune.actor.SupervisorOptions
---@field strategy? "one_for_one"|"one_for_all"|"rest_for_one"|"simple_one_for_one" or the first
---@field intensity? integer restarts within `period` before it gives up; default 1
---@field period? number|string default 5s
---@field children? perilune.actor.Child[] in the order of their start; default: none
---@field name? string of the supervisor

---A child that is `permanent` is always started again, a `transient` one unless it ended with
---reason `normal` or `shutdown`, a `temporary` one never.
---@class perilune.actor.Child
---@field start function|string as `spawn` takes it
---@field id? any for `stop_child`; default: the name, or the place in the list
---@field args? table its arguments; with holes, `n` says how many
---@field name? string stays through restarts: sends and calls wait meanwhile
---@field count? integer so many of it, one name for all, which take turns; default 1
---@field restart? "permanent"|"transient"|"temporary" default permanent: always
---@field shutdown? number|string time to end in, or `"brutal_kill"`, `"infinity"`; default 5s
---@field memory_limit? integer|string
---@field mailbox? perilune.actor.MailboxOptions
---@field on? integer

---Starts a supervisor, linked to the caller: an actor that starts children and starts them again
---when they end. Waits until all have started. When there were too many restarts it stops its
---children, in reverse order, and ends with reason `shutdown`.
---
---Errors: those of the child's spawn that failed, as spawn gives them.
---@param options perilune.actor.SupervisorOptions
---@return perilune.actor.Pid? pid
---@return string? err
---@return string? code
function actor.supervisor(options) end

---Adds a child and starts it. With `simple_one_for_one` a list of arguments, put behind the
---template's.
---
---Errors: `exists` (the id), `bad_request`, and those of a spawn and a call.
---@param supervisor perilune.actor.Pid|string
---@param child? perilune.actor.Child|table
---@return perilune.actor.Pid? pid the first one's, where it has a count
---@return string? err
---@return string? code
function actor.start_child(supervisor, child) end

---Stops a child and forgets it.
---
---Errors: `not_found`, and those of a call.
---@param supervisor perilune.actor.Pid|string
---@param which any its id, or its pid
---@return boolean? ok
---@return string? err
---@return string? code
function actor.stop_child(supervisor, which) end

---Lists a supervisor's children in the order of their start.
---
---Errors: those of a call.
---@param supervisor perilune.actor.Pid|string
---@return perilune.actor.ChildInfo[]? children
---@return string? err
---@return string? code
function actor.children(supervisor) end

---@class perilune.actor.ChildInfo
---@field id any
---@field pid? perilune.actor.Pid nil while it is not running
---@field restart "permanent"|"transient"|"temporary"
---@field number integer which of its count, from 1

---Starts another task of the same actor: the function runs beside the caller and shares its
---variables. An error in it ends the actor. The task ends with the actor's main function.
---@param fn function
---@param ... any
---@return perilune.actor.Task task
function actor.task(fn, ...) end

---Waits for all tasks.
---@param tasks perilune.actor.Task[]
---@return table[] results `{ value, err, code }` of each, in order
function actor.wait_all(tasks) end

---A task.
---@class perilune.actor.Task
local Task = {}

---Waits until it has ended and returns what its function returned; more than one may wait, more
---than once.
---
---Errors: `timeout` (it goes on), `cancelled`.
---@param timeout? number|string default: for ever
---@return any value
---@return any err
---@return any code
function Task:wait(timeout) end

---Stops it where it waits, or at its next pre-emption; its `<close>` variables run before this
---returns. Raises for the calling task itself.
---@return boolean was_running
function Task:cancel() end

---How it is.
---@return "running"|"done"|"cancelled" status
function Task:status() end

---A call that waits for its answer. It can be kept, and sent on to be answered by somebody else.
---When the last one who has it drops it unanswered, the caller gets `no_reply` at once.
---@class perilune.actor.Request
---@field from perilune.actor.Pid who called
local Request = {}

---Answers the call: what is given is what `call` returns.
---
---Errors: `timeout` (the caller no longer waits), `bad_request` (it was answered before).
---@param value any
---@param err? any
---@param code? any
---@return boolean? ok
---@return string? err
---@return string? code
function Request:reply(value, err, code) end

---Answers with a stream, for a caller that used `actor.stream`.
---
---Errors: `bad_request` (a call; or answered before), `timeout` (the caller no longer waits).
---@return perilune.actor.Stream? stream
---@return string? err
---@return string? code
---@return perilune.actor.Stream? closing for a loop
function Request:stream() end

---Everything that flows: streams between actors, HTTP bodies, server-sent events. A loop `for x in
---stream` reads to the end and raises what a read would have returned as an error. It is closed
---with its variable (`<close>`), and when it is collected; the other side is told at once.
---@class perilune.actor.Stream
---@operator call: any
local Stream = {}

---Waits for the next value. nil alone is the end.
---
---Errors: `timeout`, `closed` (by ourselves), `exited` (the writer died), and what it was closed
---with.
---@param timeout? number|string default: for ever
---@return any value
---@return string? err
---@return string? code
function Stream:read(timeout) end

---Writes a value; waits while the reader is behind by the credit. nil cannot be written: it is the
---end.
---
---Errors: `closed` (by ourselves), `cancelled` (the reader has closed), `exited` (the reader
---died).
---@param value any
---@return boolean? ok
---@return string? err
---@return string? code
function Stream:write(value) end

---Ends it; what was written before is still read. With a message, the reader gets that as an
---error.
---@param err? string
---@param code? string default `error`
---@return boolean ok
function Stream:close(err, code) end

---Looks at an actor; waits for it where it lives on another worker or is busy.
---
---Errors: `noproc`.
---@param who? perilune.actor.Pid|string default: the caller
---@return perilune.actor.Info? info
---@return string? err
---@return string? code
function actor.info(who) end

---@class perilune.actor.Info
---@field name? string
---@field parent? perilune.actor.Pid who spawned it; none for the first
---@field worker integer from 0
---@field tasks integer that have not ended, timers among them
---@field mailbox integer messages that wait and count
---@field capacity integer of the mailbox
---@field overflow "reject"|"block"|"drop_new"|"drop_oldest"
---@field links integer
---@field monitors integer how many monitor it
---@field trap_exit boolean
---@field received integer messages taken from the mailbox so far
---@field sent integer messages sent so far
---@field turns integer how often it has had its turn
---@field memory_bytes integer held by its state and all it has opened
---@field memory_peak_bytes integer
---@field memory_allocations integer so far
---@field memory_limit_bytes? integer

---All actors of the runtime that are alive.
---@return perilune.actor.Pid[] pids
function actor.list() end

---The latest 128 messages that nobody got, oldest first; the field `total` counts all so far.
---@return perilune.actor.DeadLetter[] letters
function actor.dead_letters() end

---@class perilune.actor.DeadLetter
---@field to perilune.actor.Pid
---@field from? perilune.actor.Pid
---@field type "message"|"request"
---@field reason "exited"|"mailbox_full" its receiver had ended, or had no room
---@field time number seconds since 1970, UTC

return actor
