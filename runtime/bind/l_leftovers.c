/* perilune.leftovers: for test runners. What the calling actor has begun since a moment, and its
 * end. */
#include "bind/bind.h"

#include "lua/luv_bridge.h"

/* A moment: what is begun later is younger. */
static int l_mark(lua_State *L) {
    pn_luv_note(pn_lua_of(L));
    lua_pushinteger(L, (lua_Integer)pn_lua_of(L)->birth_count);
    return 1;
}

static lua_Integer end_tasks(pn_lua *lua, uint64_t mark) {
    lua_Integer count = 0;
    pn_list *link = lua->tasks.prev;
    while (link != &lua->tasks) {
        pn_task *task = PN_CONTAINER(link, pn_task, all);
        link = link->prev;
        if (task->born <= mark || !pn_task_cancel(task)) continue;
        count++;
        link = lua->tasks.prev; /* closing it may have ended others */
    }
    return count;
}

/* Pushes a table kind -> count. */
static void end_handles(lua_State *L, pn_lua *lua, uint64_t mark) {
    lua_newtable(L);
    pn_list *link = lua->handles.prev;
    while (link != &lua->handles) {
        pn_handle *handle = PN_CONTAINER(link, pn_handle, link);
        link = link->prev;
        if (handle->born <= mark) continue;
        lua_getfield(L, -1, handle->kind);
        lua_Integer n = lua_tointeger(L, -1) + 1;
        lua_pop(L, 1);
        lua_pushinteger(L, n);
        lua_setfield(L, -2, handle->kind);
        pn_list_remove(&handle->link);
        handle->close(handle); /* its memory may go with it */
        link = lua->handles.prev;
    }
}

/* Ends tasks and timers, then C resources, that are younger than the mark: how many tasks, and a
 * table kind -> count of the resources. */
static int l_sweep(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    uint64_t mark = (uint64_t)luaL_checkinteger(L, 1);
    pn_luv_note(lua);
    lua_pushinteger(L, end_tasks(lua, mark));
    end_handles(L, lua, mark);
    return 2;
}

const luaL_Reg pn_leftovers_internals[] = {{"mark", l_mark}, {"sweep", l_sweep}, {NULL, NULL}};
