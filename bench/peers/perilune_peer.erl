%% perilune_peer.erl - the actor and timer benchmarks of `perilune bench`, written for Erlang/OTP.
%%
%%   erl +S 1:1 -noshell -pa DIR -run perilune_peer main FIGURE
%%
%% One figure a run of the virtual machine, so that none inherits the heap of another. It prints
%% "FIGURE VALUE UNIT", a line for each value. Each figure warms up with a tenth of its work first,
%% so that loading and the first growth of the heaps are not measured; memory figures do not.
-module(perilune_peer).
-export([main/1]).

-define(PINGPONG, 2000000).    % round trips
-define(PINGPONG_2, 100000).   % round trips between two schedulers
-define(FLOOD, 8000000).       % messages one way
-define(WINDOW, 1000).         % a flood's sender waits for one acknowledgement each WINDOW messages
-define(RING, 1000).           % processes
-define(HOPS, 4000000).
-define(SPAWNS, 1000000).
-define(BATCH, 100).
-define(IDLE, 100000).         % processes
-define(MILLION, 1000000).     % processes, timers
-define(EXPIRY_MIN_MS, 60000).  % none fires while the million is started and cancelled
-define(EXPIRY_MAX_MS, 3600000).
-define(FIRE_FROM_MS, 3000).   % timers that fire do so in the second from here
-define(TIMER_HEAP_WORDS, 64000000).

main([Figure]) ->
    lists:foreach(
        fun({Name, Value, Unit}) ->
            io:format("~s ~s ~s~n", [Name, io_lib:format("~.3f", [float(Value)]), Unit])
        end,
        figure(Figure)),
    halt(0).

figure("pingpong_int") -> rate("pingpong_int", fun pingpong/2, 1, ?PINGPONG, 2);
figure("pingpong_str") -> rate("pingpong_str", fun pingpong/2, <<"hello, world">>, ?PINGPONG, 2);
figure("pingpong_table") -> rate("pingpong_table", fun pingpong_pairs/2, m, ?PINGPONG, 2);
figure("flood_int") -> rate("flood_int", fun flood/2, int, ?FLOOD, 1);
figure("flood_str") -> rate("flood_str", fun flood/2, <<"hello, world">>, ?FLOOD, 1);
figure("flood_table") -> rate("flood_table", fun flood/2, pair, ?FLOOD, 1);
figure("pingpong_2workers") ->
    rate("pingpong_2workers", fun pingpong_pinned/2, 1, ?PINGPONG_2, 2);
figure("ring_1000") -> rate("ring_1000", fun ring/2, none, ?HOPS, 1);
figure("spawn_exit") ->
    rate("spawn_exit", fun spawn_exit/2, none, ?SPAWNS, 1) ++
        rate("spawn_exit_monitored", fun spawn_monitored/2, none, ?SPAWNS, 1);
figure("idle_actor") ->
    {Bytes, Pids} = idle(?IDLE),
    ?IDLE = length(Pids),
    [{"idle_actor_bytes", Bytes / ?IDLE, "bytes"}];
figure("million_actors") ->
    {Bytes, Pids} = idle(?MILLION),
    Alive = length([P || P <- Pids, is_process_alive(P)]),
    [{"million_actors", Alive, "actors"}, {"million_actors_bytes", Bytes, "bytes"}];
figure("timer") -> in_process(fun timers/0, [{min_heap_size, ?TIMER_HEAP_WORDS}]).

%% Runs Work(Payload, N) twice, warm-up first, and reports N * Each a second.
rate(Name, Work, Payload, N, Each) ->
    Work(Payload, N div 10),
    Ns = time_ns(fun() -> Work(Payload, N) end),
    [{Name, N * Each * 1.0e9 / Ns, "/s"}].

time_ns(Work) ->
    Start = erlang:monotonic_time(nanosecond),
    Work(),
    erlang:monotonic_time(nanosecond) - Start.

in_process(Work, Options) ->
    Self = self(),
    {Pid, Ref} = erlang:spawn_opt(fun() -> Self ! {done, self(), Work()} end, [monitor | Options]),
    receive
        {done, Pid, Result} ->
            erlang:demonitor(Ref, [flush]),
            Result;
        {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    end.

%% ---- ping-pong: the other end sends back what it gets ----

pingpong(Payload, N) -> pingpong_with(fun() -> ping(Payload, N) end, [], []).

%% {m, I}: a new pair each way.
pingpong_pairs(_, N) -> pingpong_with(fun() -> ping_pairs(N) end, [], []).

%% {scheduler, N} pins a process to a scheduler for its life.
pingpong_pinned(Payload, N) ->
    pingpong_with(fun() -> ping(Payload, N) end, [{scheduler, 1}], [{scheduler, 2}]).

pingpong_with(Ping, PingOptions, PongOptions) ->
    in_process(
        fun() ->
            Self = self(),
            Pong = erlang:spawn_opt(fun() -> pong(Self) end, [link | PongOptions]),
            put(pong, Pong),
            Ping(),
            Pong ! stop,
            receive stopped -> ok end
        end,
        PingOptions).

ping(Payload, N) -> ping(get(pong), Payload, N).

ping(_, _, 0) -> ok;
ping(Pong, Payload, N) when is_integer(Payload) ->
    Pong ! N,
    receive N -> ping(Pong, Payload, N - 1) end;
ping(Pong, Payload, N) ->
    Pong ! Payload,
    receive Back when is_binary(Back) -> ping(Pong, Payload, N - 1) end.

ping_pairs(N) -> ping_pairs(get(pong), N).

ping_pairs(_, 0) -> ok;
ping_pairs(Pong, N) ->
    Pong ! {m, N},
    receive {m, I} -> ping_pairs(Pong, I - 1) end.

pong(Ping) ->
    receive
        stop -> Ping ! stopped;
        {m, I} ->
            Ping ! {m, I},
            pong(Ping);
        Message ->
            Ping ! Message,
            pong(Ping)
    end.

%% ---- flood: one way; WINDOW messages between acknowledgements keep the mailbox bounded ----

flood(Payload, N) ->
    in_process(
        fun() ->
            Self = self(),
            Sink = spawn_link(fun() -> sink(Self, ?WINDOW, 0) end),
            send_windows(Sink, Payload, N div ?WINDOW),
            Sink ! {total, Self},
            Expected = N div ?WINDOW * ?WINDOW,
            receive {total, Expected} -> ok end
        end,
        []).

send_windows(_, _, 0) -> ok;
send_windows(Sink, Payload, Windows) ->
    send(Sink, Payload, ?WINDOW),
    receive acknowledged -> send_windows(Sink, Payload, Windows - 1) end.

send(_, _, 0) -> ok;
send(Sink, int, N) -> Sink ! N, send(Sink, int, N - 1);
send(Sink, pair, N) -> Sink ! {m, N}, send(Sink, pair, N - 1);
send(Sink, Payload, N) -> Sink ! Payload, send(Sink, Payload, N - 1).

sink(Source, 0, Total) ->
    Source ! acknowledged,
    sink(Source, ?WINDOW, Total);
sink(Source, Left, Total) ->
    receive
        {total, From} -> From ! {total, Total};
        _ -> sink(Source, Left - 1, Total + 1)
    end.

%% ---- ring: one token, an integer, counts down around RING processes ----

ring(_, Hops) ->
    in_process(
        fun() ->
            Last = lists:foldl(
                fun(_, Next) -> spawn_link(fun() -> pass(Next) end) end,
                self(),
                lists:seq(2, ?RING)),
            Last ! Hops,
            turn(Last),
            Last ! stop,
            receive stop -> ok end
        end,
        []).

turn(Next) ->
    receive
        0 -> ok;
        N -> Next ! N - 1, turn(Next)
    end.

pass(Next) ->
    receive
        stop -> Next ! stop;
        0 -> Next ! 0, pass(Next);
        N -> Next ! N - 1, pass(Next)
    end.

%% ---- spawn and exit: BATCH processes at a time, the last of which says that it ran ----
%% One scheduler runs them in order, so the others of the batch have ended by then. Monitored: the
%% end of each is awaited before the next is spawned.

spawn_exit(_, N) -> in_process(fun() -> spawn_batches(N div ?BATCH) end, []).

spawn_batches(0) -> ok;
spawn_batches(Batches) ->
    spawn_batch(?BATCH - 1),
    Self = self(),
    spawn(fun() -> Self ! ran end),
    receive ran -> spawn_batches(Batches - 1) end.

spawn_batch(0) -> ok;
spawn_batch(N) ->
    spawn(fun() -> ok end),
    spawn_batch(N - 1).

spawn_monitored(_, N) -> in_process(fun() -> spawn_each(N) end, []).

spawn_each(0) -> ok;
spawn_each(N) ->
    {_, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, process, _, normal} -> spawn_each(N - 1) end.

%% ---- memory: N processes that each answered a message and wait for the next ----

idle(N) ->
    garbage_collect(),
    Before = rss_bytes(),
    Pids = [ask(spawn(fun() -> answer() end)) || _ <- lists:seq(1, N)],
    {rss_bytes() - Before, Pids}.

ask(Pid) ->
    Pid ! {self(), ping},
    receive {Pid, pong} -> Pid end.

answer() ->
    receive
        {From, ping} ->
            From ! {self(), pong},
            answer()
    end.

rss_bytes() ->
    {ok, Status} = file:open("/proc/self/status", [read, raw, binary]),
    {ok, Text} = file:read(Status, 65536),
    ok = file:close(Status),
    {match, [Kb]} = re:run(Text, "VmRSS:\\s*(\\d+) kB", [{capture, all_but_first, list}]),
    list_to_integer(Kb) * 1024.

%% ---- timers: a million started, cancelled in random order; then a million that fire ----
%% Firing is spread over a second, so its cost is the processor time of the virtual machine, not the
%% time that passes; run it with +sbwt none, or the schedulers' busy waiting is counted.

timers() ->
    Delays = [?EXPIRY_MIN_MS + rand:uniform(?EXPIRY_MAX_MS) || _ <- lists:seq(1, ?MILLION)],
    {StartNs, Refs} = timed_map(fun(Ms) -> erlang:send_after(Ms, self(), due) end, Delays),
    Shuffled = [R || {_, R} <- lists:sort([{rand:uniform(), R} || R <- Refs])],
    {CancelNs, Left} = timed_map(fun(R) -> erlang:cancel_timer(R) end, Shuffled),
    false = lists:member(false, Left),
    [{"timer_start", StartNs / ?MILLION, "ns"},
     {"timer_cancel", CancelNs / ?MILLION, "ns"},
     {"timer_fire", fire_ns() / ?MILLION, "ns"}].

timed_map(Function, List) ->
    Start = erlang:monotonic_time(nanosecond),
    Results = [Function(Item) || Item <- List],
    {erlang:monotonic_time(nanosecond) - Start, Results}.

fire_ns() ->
    Delays = [?FIRE_FROM_MS + rand:uniform(1000) || _ <- lists:seq(1, ?MILLION)],
    lists:foreach(fun(Ms) -> erlang:send_after(Ms, self(), due) end, Delays),
    {Before, _} = erlang:statistics(runtime),
    receive_all(?MILLION),
    {After, _} = erlang:statistics(runtime),
    (After - Before) * 1.0e6.

receive_all(0) -> ok;
receive_all(N) ->
    receive due -> receive_all(N - 1) end.
