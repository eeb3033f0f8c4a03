/*
 * perilune.log: the C half. The Lua half (operation) is scripts/perilune/log.lua.
 *
 * An entry is one line of at most PN_LOG_LINE_MAX_BYTES, written at once, so entries of all workers
 * and processes stay whole. Logging does not fail for what it is given: what JSON cannot say is
 * shown as tostring shows it; of what does not fit, long texts are cut first, then fields left out,
 * and the entry says "cut". A logger owns a table of plain values, copies, and travels as their
 * JSON text.
 */
#include "bind/bind.h"

#include "base/decimal.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "lua/args.h"
#include "lua/json_value.h"

#define LOGGER_CLASS   "perilune.log.logger"
#define DEPTH_MAX      8 /* of tables in a field */
#define CUT_MARK       "..."
#define QUOTE_ROOM_MIN 16 /* a quoted text needs so much, however short it is cut */

/* Bytes of a text in an entry: the first that lets the entry fit. */
static const size_t text_caps[] = {PN_LOG_LINE_MAX_BYTES, 1024, 256, 64};

#define CAP_COUNT (sizeof text_caps / sizeof text_caps[0])

static pn_runtime *runtime_of(lua_State *L) { return pn_lua_worker(pn_lua_of(L))->runtime; }

/* ---- a line in the making ---- */

typedef struct line {
    char bytes[PN_LOG_LINE_MAX_BYTES];
    size_t size, room;
    size_t text_cap;
    bool is_cut;  /* a text was */
    bool is_over; /* it did not fit */
} line;

static void line_init(line *l, size_t room, size_t text_cap) {
    l->size = 0;
    l->room = room;
    l->text_cap = text_cap;
    l->is_cut = l->is_over = false;
}

static void put(line *l, const char *bytes, size_t size) {
    if (size > l->room - l->size) {
        l->is_over = true;
        return;
    }
    memcpy(l->bytes + l->size, bytes, size);
    l->size += size;
}

static void put_text(line *l, const char *text) { put(l, text, strlen(text)); }

/* How much of a text is shown: all, or what is within the cap, without half a character. */
static size_t shown_size(line *l, const char *text, size_t size) {
    if (size <= l->text_cap) return size;
    l->is_cut = true;
    size = l->text_cap;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) size--;
    return size;
}

static void put_quoted(line *l, const char *text, size_t size) {
    size_t left = l->room - l->size, shown = shown_size(l, text, size);
    if (left < QUOTE_ROOM_MIN + shown) { /* it is quicker to see so than to write it */
        l->is_over = true;
        return;
    }
    size_t used = pn_log_quote(l->bytes + l->size, left, text, shown);
    l->is_over = l->is_over || left - used < QUOTE_ROOM_MIN; /* it may have stopped short */
    l->size += used;
    if (shown == size || l->is_over) return;
    l->size--;
    put_text(l, CUT_MARK "\"");
}

/* ---- values ---- */

static void put_value(lua_State *L, line *l, int index, int depth);

static int to_text(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* As tostring shows it, also when its __tostring raises. */
static void put_shown(lua_State *L, line *l, int index) {
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
        size_t size;
        const char *shown = lua_tolstring(L, -1, &size);
        put_quoted(l, shown, size);
    } else {
        put_text(l, "\"?\"");
    }
    lua_pop(L, 1);
}

static void put_number(lua_State *L, line *l, int index) {
    char digits[PN_DECIMAL_TEXT_BYTES];
    lua_Number n = lua_tonumber(L, index);
    if (lua_isinteger(L, index)) {
        put(l, digits, pn_decimal_format_int(lua_tointeger(L, index), digits));
    } else if (n - n == 0) {
        put(l, digits, pn_decimal_format(n, digits));
    } else {
        put_shown(L, l, index); /* no JSON for NaN and infinities */
    }
}

static void put_list(lua_State *L, line *l, int index, int depth) {
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);
    put_text(l, "[");
    for (lua_Integer i = 1; i <= count && !l->is_over; i++) {
        if (i > 1) put_text(l, ",");
        lua_rawgeti(L, index, i);
        put_value(L, l, lua_gettop(L), depth);
        lua_pop(L, 1);
    }
    put_text(l, "]");
}

/* The fields of the table at `index`, each behind the separator but the first. */
static void put_members(lua_State *L, line *l, int index, int depth) {
    int count = pn_json_push_keys(L, index), keys = lua_gettop(L);
    for (int i = 1; i <= count && !l->is_over; i++) {
        size_t size;
        if (i > 1) put_text(l, ",");
        lua_rawgeti(L, keys, i);
        const char *key = lua_tolstring(L, -1, &size);
        put_quoted(l, key, size);
        put_text(l, ":");
        lua_rawget(L, index);
        put_value(L, l, lua_gettop(L), depth);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* With the mark of an array, or without metatable. */
static bool is_plain_table(lua_State *L, int index, bool *is_marked) {
    *is_marked = lua_getmetatable(L, index) != 0;
    if (!*is_marked) return true;
    bool is_array = pn_module_is_array_mark(L, -1);
    lua_pop(L, 1);
    return is_array;
}

static void put_table(lua_State *L, line *l, int index, int depth) {
    bool is_marked;
    luaL_checkstack(L, 12, "field of a log entry");
    if (depth == DEPTH_MAX || !is_plain_table(L, index, &is_marked)) {
        put_shown(L, l, index);
    } else if (is_marked || lua_rawlen(L, index) > 0) {
        put_list(L, l, index, depth + 1);
    } else {
        put_text(l, "{");
        put_members(L, l, index, depth + 1);
        put_text(l, "}");
    }
}

static void put_value(lua_State *L, line *l, int index, int depth) {
    size_t size;
    const char *s;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        s = lua_tolstring(L, index, &size);
        put_quoted(l, s, size);
        return;
    case LUA_TNUMBER: put_number(L, l, index); return;
    case LUA_TBOOLEAN: put_text(l, lua_toboolean(L, index) ? "true" : "false"); return;
    case LUA_TTABLE: put_table(L, l, index, depth); return;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index) == NULL) {
            put_text(l, "null");
            return;
        } /* fall through */
    default: put_shown(L, l, index);
    }
}

/* ---- fields ---- */

static void check_field(lua_State *L, int key) {
    static const char *const reserved[] = {"time", "level", "msg", "actor", "cut", NULL};
    if (lua_type(L, key) != LUA_TSTRING) {
        pn_raise(L, "the name of a field is a text, got a %s", luaL_typename(L, key));
    }
    const char *name = lua_tostring(L, key);
    for (const char *const *r = reserved; *r != NULL; r++) {
        if (strcmp(name, *r) == 0) pn_raise(L, "the field '%s' is the entry's own", name);
    }
    if (strcmp(name, "request_id") == 0 && lua_type(L, key + 1) != LUA_TSTRING) {
        pn_raise(L, "the field 'request_id' must be a text");
    }
}

/* Pushes a copy of the value at `index` that is plain JSON and fits into an entry. */
static void push_plain(lua_State *L, int index) {
    line l;
    for (size_t i = 0; i < CAP_COUNT; i++) {
        line_init(&l, sizeof l.bytes / 2, text_caps[i]);
        put_value(L, &l, index, 0);
        if (l.is_over) continue;
        int results = pn_json_decode(L, l.bytes, l.size, NULL);
        pn_assert(results == 1);
        return;
    }
    lua_pushliteral(L, CUT_MARK);
}

/* Adds the fields of the table at `index` to the table on top; as plain copies, or as they are. */
static void add_fields(lua_State *L, int index, bool as_copies) {
    int fields = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        int key = fields + 1;
        check_field(L, key);
        lua_pushvalue(L, key);
        if (as_copies) {
            push_plain(L, key + 1);
        } else {
            lua_pushvalue(L, key + 1);
        }
        lua_rawset(L, fields);
        lua_settop(L, key);
    }
}

/* Pushes the fields of an entry: of the logger at `logger` (0: none) and those at `fields`. */
static void push_fields(lua_State *L, int logger, int fields) {
    bool has_fields = !lua_isnoneornil(L, fields);
    if (has_fields) luaL_checktype(L, fields, LUA_TTABLE);
    if (logger != 0 && !has_fields) {
        lua_getiuservalue(L, logger, 1);
        return;
    }
    lua_newtable(L);
    if (logger != 0) {
        lua_getiuservalue(L, logger, 1);
        lua_insert(L, -2);
        add_fields(L, lua_gettop(L) - 1, false);
        lua_remove(L, -2);
    }
    if (has_fields) add_fields(L, fields, false);
}

/* ---- request ids ---- */

static void hex_id(char out[PN_REQUEST_ID_MAX_BYTES], uint64_t id) {
    snprintf(out, PN_REQUEST_ID_MAX_BYTES, "%016llx", (unsigned long long)id);
}

/* What an entry that nobody gave an id bears: its actor's own, the same for its whole life. */
static uint64_t own_id(lua_State *L) {
    const pn_actor *actor = pn_lua_of(L)->actor;
    return pn_rand_key(runtime_of(L)->options.seed, "request_id", actor->entity);
}

/* The next new one. */
static uint64_t next_id(lua_State *L) {
    pn_rand r = {.key = own_id(L), .counter = pn_lua_of(L)->request_count++};
    return pn_rand_draw(&r);
}

static void push_request_id(lua_State *L) {
    const pn_request_id *id = pn_task_request_id(pn_task_current(L));
    char own[PN_REQUEST_ID_MAX_BYTES];
    if (id == NULL) hex_id(own, own_id(L));
    lua_pushlstring(L, id != NULL ? id->text : own, id != NULL ? id->size : strlen(own));
}

/* ---- entries ---- */

typedef struct entry {
    pn_log_level level;
    const char *message;
    size_t message_size;
    int fields; /* stack index */
} entry;

static bool has_field(lua_State *L, int fields, const char *name) {
    bool has = lua_getfield(L, fields, name) != LUA_TNIL;
    lua_pop(L, 1);
    return has;
}

static bool is_empty(lua_State *L, int table) {
    lua_pushnil(L);
    if (lua_next(L, table) == 0) return true;
    lua_pop(L, 2);
    return false;
}

static void put_actor(lua_State *L, line *l) {
    const pn_actor *actor = pn_lua_of(L)->actor;
    char pid[PN_PID_TEXT_BYTES];
    const char *shown = actor->name != NULL ? actor->name : pn_pid_text(actor->pid, pid);
    put_quoted(l, shown, strlen(shown));
}

static void put_json_head(lua_State *L, line *l, const entry *e) {
    char when[32];
    pn_log_time(when, pn_clock_unix_ns(&runtime_of(L)->clock));
    put_text(l, "{\"time\":\"");
    put_text(l, when);
    put_text(l, "\",\"level\":\"");
    put_text(l, pn_log_level_name(e->level));
    put_text(l, "\",\"msg\":");
    put_quoted(l, e->message, e->message_size);
    put_text(l, ",\"actor\":");
    put_actor(L, l);
    if (has_field(L, e->fields, "request_id")) return;
    put_text(l, ",\"request_id\":");
    push_request_id(L);
    put_value(L, l, lua_gettop(L), 0);
    lua_pop(L, 1);
}

static void put_json(lua_State *L, line *l, const entry *e, bool with_fields) {
    put_json_head(L, l, e);
    if (with_fields && !is_empty(L, e->fields)) {
        put_text(l, ",");
        put_members(L, l, e->fields, 0);
    }
}

static bool has_control(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) return true;
    }
    return false;
}

/* For people: a text without quotes where that is clear. Nothing that is logged can look like an
 * entry of its own. */
static void put_readable(lua_State *L, line *l, int index) {
    size_t size = 0;
    const char *s = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &size) : "";
    bool is_word = size > 0 && size <= l->text_cap && !has_control(s, size) &&
                   pn_utf8_valid_bytes(s, size) == size && s[strcspn(s, " \"=")] == '\0';
    if (is_word) {
        put(l, s, size);
    } else {
        put_value(L, l, index, 0);
    }
}

static void put_field(lua_State *L, line *l, const char *key, int value) {
    put_text(l, " ");
    put_text(l, key);
    put_text(l, "=");
    put_readable(L, l, value);
}

#define BLOCK_FIELD "traceback" /* goes below the entry, with its own lines */

static void put_block(lua_State *L, line *l, int fields) {
    size_t size;
    if (lua_getfield(L, fields, BLOCK_FIELD) == LUA_TSTRING) {
        const char *s = lua_tolstring(L, -1, &size);
        put_text(l, "\n");
        put(l, s, shown_size(l, s, size));
    }
    lua_pop(L, 1);
}

static void put_text_fields(lua_State *L, line *l, int fields) {
    int count = pn_json_push_keys(L, fields), keys = lua_gettop(L);
    for (int i = 1; i <= count && !l->is_over; i++) {
        lua_rawgeti(L, keys, i);
        const char *key = lua_tostring(L, -1);
        lua_pushvalue(L, -1);
        lua_rawget(L, fields);
        bool is_block = strcmp(key, BLOCK_FIELD) == 0 && lua_type(L, -1) == LUA_TSTRING;
        if (!is_block) put_field(L, l, key, lua_gettop(L));
        lua_settop(L, keys);
    }
    lua_pop(L, 1);
}

static void put_plain(lua_State *L, line *l, const entry *e, bool with_fields) {
    char level[16];
    snprintf(level, sizeof level, "%-5s ", pn_log_level_name(e->level));
    put_text(l, level);
    if (has_control(e->message, e->message_size)) {
        put_quoted(l, e->message, e->message_size);
    } else {
        put(l, e->message, shown_size(l, e->message, e->message_size));
    }
    if (with_fields) put_text_fields(L, l, e->fields);
    if (pn_task_request_id(pn_task_current(L)) != NULL && !has_field(L, e->fields, "request_id")) {
        push_request_id(L);
        put_field(L, l, "request_id", lua_gettop(L));
        lua_pop(L, 1);
    }
    if (with_fields) put_block(L, l, e->fields);
}

/* With texts as long as they may be for all to fit; at worst without fields. */
static void write_entry(lua_State *L, const pn_log *log, const entry *e) {
    static const char json_cut[] = ",\"cut\":true", plain_cut[] = " (cut)";
    line l;
    size_t ends_with = sizeof json_cut + 2;
    bool with_fields = true;
    for (size_t i = 0; i <= CAP_COUNT; i++) {
        with_fields = i < CAP_COUNT;
        line_init(&l, sizeof l.bytes - ends_with, text_caps[with_fields ? i : CAP_COUNT - 1]);
        if (log->json) {
            put_json(L, &l, e, with_fields);
        } else {
            put_plain(L, &l, e, with_fields);
        }
        if (!l.is_over) break;
    }
    l.room = sizeof l.bytes;
    if (l.is_cut || !with_fields) put_text(&l, log->json ? json_cut : plain_cut);
    put_text(&l, log->json ? "}\n" : "\n");
    pn_log_write(log, l.bytes, l.size);
}

/* ---- the functions ---- */

/* message, fields at `message` and behind it; the logger at index 1 or none. */
static int emit(lua_State *L, pn_log_level level, int logger) {
    int message = logger + 1;
    const pn_log *log = &runtime_of(L)->log;
    entry e = {.level = level};
    e.message = luaL_checklstring(L, message, &e.message_size);
    if (log->fd < 0 || level < log->level) return 0;
    luaL_checkstack(L, 16, "log entry");
    lua_settop(L, message + 1);
    push_fields(L, logger, message + 1);
    e.fields = lua_gettop(L);
    write_entry(L, log, &e);
    return 0;
}

static int l_debug(lua_State *L) { return emit(L, PN_LOG_DEBUG, 0); }

static int l_info(lua_State *L) { return emit(L, PN_LOG_INFO, 0); }

static int l_warn(lua_State *L) { return emit(L, PN_LOG_WARN, 0); }

static int l_error(lua_State *L) { return emit(L, PN_LOG_ERROR, 0); }

static void check_logger(lua_State *L) { luaL_checkudata(L, 1, LOGGER_CLASS); }

static int logger_emit(lua_State *L, pn_log_level level) {
    check_logger(L);
    return emit(L, level, 1);
}

static int l_logger_debug(lua_State *L) { return logger_emit(L, PN_LOG_DEBUG); }

static int l_logger_info(lua_State *L) { return logger_emit(L, PN_LOG_INFO); }

static int l_logger_warn(lua_State *L) { return logger_emit(L, PN_LOG_WARN); }

static int l_logger_error(lua_State *L) { return logger_emit(L, PN_LOG_ERROR); }

/* Makes a logger of the table of plain values on top, which it takes. */
static int push_logger(lua_State *L) {
    lua_newuserdatauv(L, 0, 1);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
    pn_push_class(L, LOGGER_CLASS);
    if (lua_getfield(L, -1, PN_CODEC_MODULE) == LUA_TNIL) {
        lua_pushliteral(L, "perilune.log");
        lua_setfield(L, -3, PN_CODEC_MODULE);
    }
    lua_pop(L, 1);
    lua_setmetatable(L, -2);
    return 1;
}

static int l_with(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_newtable(L);
    add_fields(L, 1, true);
    return push_logger(L);
}

static int l_logger_with(lua_State *L) {
    check_logger(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_getiuservalue(L, 1, 1);
    lua_newtable(L);
    add_fields(L, 3, false);
    add_fields(L, 2, true);
    return push_logger(L);
}

/* For the codec: a logger's name says all of it. */
static int l_logger_name(lua_State *L) {
    check_logger(L);
    lua_getiuservalue(L, 1, 1);
    pn_json_style style = {0};
    int results = pn_json_encode(L, -1, &style);
    pn_assert(results == 1);
    return 1;
}

static int l_named(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    int results = pn_json_decode(L, text, size, NULL);
    if (results != 1 || !lua_istable(L, -1)) return luaL_argerror(L, 1, "no logger's name");
    return push_logger(L);
}

/* ---- for operation ---- */

#define SCOPE_CLASS "perilune.log.scope"

/* Within it the task has a request id. It ends in the task that began it, or has no effect. */
typedef struct scope {
    pn_task *task;
    uint64_t task_born;
    pn_request_id *before; /* owned */
} scope;

/* Of one that was not closed in its time: the task may be over already. */
static int l_scope_gc(lua_State *L) {
    scope *s = luaL_checkudata(L, 1, SCOPE_CLASS);
    pn_request_id_release(s->before);
    *s = (scope){NULL, 0, NULL};
    return 0;
}

static int l_scope_close(lua_State *L) {
    scope *s = luaL_checkudata(L, 1, SCOPE_CLASS);
    pn_task *task = pn_task_current(L);
    bool is_same = s->task != NULL && s->task == task && s->task_born == task->born;
    if (is_same) pn_task_set_request_id(task, s->before);
    return l_scope_gc(L);
}

static pn_request_id *create_id(lua_State *L, int arg) {
    char fresh[PN_REQUEST_ID_MAX_BYTES];
    size_t size;
    const char *text = lua_tolstring(L, arg, &size);
    if (text == NULL) {
        hex_id(fresh, next_id(L));
        text = fresh;
        size = strlen(fresh);
    }
    pn_request_id *id = pn_request_id_create(&runtime_of(L)->shared, text, size);
    if (id == NULL) pn_raise_code(L, PN_ENOMEM);
    return id;
}

/* A scope with this request id; with nil the one that is there already, or a new one. */
static int l_scope(lua_State *L) {
    pn_task *task = pn_task_current(L);
    lua_settop(L, 1);
    if (!lua_isnil(L, 1)) {
        luaL_checktype(L, 1, LUA_TSTRING);
        bool fits = lua_rawlen(L, 1) <= PN_REQUEST_ID_MAX_BYTES;
        luaL_argcheck(L, fits, 1, "the request id is too long");
    }
    scope *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (scope){NULL, 0, NULL};
    pn_push_class(L, SCOPE_CLASS);
    lua_setmetatable(L, -2);
    pn_request_id *present = pn_task_request_id(task);
    bool keeps = lua_isnil(L, 1) && present != NULL;
    pn_request_id *id = keeps ? pn_request_id_grab(present) : create_id(L, 1);
    *s = (scope){task, task->born, pn_request_id_grab(task->request_id)};
    pn_task_set_request_id(task, id);
    pn_request_id_release(id);
    return 1;
}

static void push_traceback(lua_State *L) {
    char copy[PN_LOG_LINE_MAX_BYTES];
    pn_buf trace;
    pn_buf_init(&trace, &pn_lua_worker(pn_lua_of(L))->ledger.door);
    pn_lua_traceback(L, NULL, &trace);
    snprintf(copy, sizeof copy, "%s", pn_buf_text(&trace));
    pn_buf_close(&trace); /* before Lua may raise */
    char *title_end = strchr(copy, '\n'), *own_end = NULL;
    if (title_end != NULL) own_end = strchr(title_end + 1, '\n');
    if (own_end != NULL) { /* without the handler itself */
        *title_end = '\0';
        lua_pushfstring(L, "%s%s", copy, own_end);
    } else {
        lua_pushstring(L, copy);
    }
}

/* A message handler: { value =, error =, traceback = }. */
static int l_explain(lua_State *L) {
    lua_settop(L, 1);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, 1);
    lua_setfield(L, 2, "value");
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, 1);
    lua_pcall(L, 1, 1, 0); /* what its __tostring raised, if it did */
    lua_setfield(L, 2, "error");
    push_traceback(L);
    lua_setfield(L, 2, "traceback");
    return 1;
}

static int returned(lua_State *L, int status, lua_KContext base) {
    (void)status;
    return lua_gettop(L) - (int)base;
}

/* operation(name, fields, fn, ...): the Lua half does it; nil stands for no logger. */
static int run_operation(lua_State *L) {
    int arguments = lua_gettop(L);
    pn_module_require(L, "perilune.log");
    lua_getfield(L, -1, "_run");
    lua_remove(L, -2);
    lua_insert(L, 1);
    lua_callk(L, arguments, LUA_MULTRET, 0, returned);
    return returned(L, LUA_OK, 0);
}

static int l_operation(lua_State *L) {
    lua_pushnil(L);
    lua_insert(L, 1);
    return run_operation(L);
}

static int l_logger_operation(lua_State *L) {
    check_logger(L);
    return run_operation(L);
}

static const luaL_Reg logger_methods[] = {
    {"debug", l_logger_debug},
    {"info", l_logger_info},
    {"warn", l_logger_warn},
    {"error", l_logger_error},
    {"with", l_logger_with},
    {"operation", l_logger_operation},
    {NULL, NULL},
};

static const luaL_Reg logger_internals[] = {{PN_CODEC_NAME, l_logger_name}, {NULL, NULL}};

const pn_class pn_class_logger = {LOGGER_CLASS, logger_methods, logger_internals};

static const luaL_Reg scope_internals[] = {{NULL, NULL}};

static const luaL_Reg scope_end_internals[] = {
    {"__close", l_scope_close},
    {"__gc", l_scope_gc},
    {NULL, NULL},
};

const pn_class pn_class_log_scope = {SCOPE_CLASS, scope_internals, scope_end_internals};

const luaL_Reg pn_log_functions[] = {
    {"debug", l_debug}, {"info", l_info},    {"warn", l_warn},
    {"error", l_error}, {"with", l_with},    {"operation", l_operation},
    {"named", l_named}, {"_scope", l_scope}, {"_explain", l_explain},
    {NULL, NULL},
};
