/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coroutines of OpenResty's LuaJIT under nginx's Lua module. Each is run by lua_resume from where
 * it stood to where it waits; meanwhile its thread is in the request that the coroutine is of:
 *
 *  - at its first step the request is that of the connection which the module says the coroutine
 *    serves (lua_getexdata: nginx's request; a made-up one, of a timer, has none and is nobody's);
 *  - what a running coroutine gives something (lua_xmove: the function that a timer, a light thread
 *    or a coroutine of the program's is to run) is that one's.
 *
 * That ends with the last step, or when the module uses the coroutine again (lua_resetthread), or
 * another one has its address (lua_newthread).
 *
 * What is not recognised is called through, whatever it is: lua_resume has more parameters in other
 * versions, of which none is looked at, and no name of these has a version in LuaJIT.
 */
#include "carrier.h"
#include "config.h"
#include "coroutines.h"
#include "counters.h"
#include "foreign.h"
#include "process.h"

typedef struct lua_State lua_State; /* lua.h, which is not needed to build us */

/* What is called of it. lua_resume is what a Lua is known by; lua_getexdata has OpenResty's. */
#define FUNCTIONS(X)                                                   \
    X(int, lua_resume, (lua_State *, uintptr_t, uintptr_t, uintptr_t)) \
    X(lua_State *, lua_newthread, (lua_State *))                       \
    X(void, lua_xmove, (lua_State *, lua_State *, int))                \
    X(long, lua_resetthread, (lua_State *, lua_State *))               \
    X(void *, lua_getexdata, (lua_State *))

FOREIGN_LIBRARY(lua, FUNCTIONS);

enum { LUA_YIELD = 1 };

/* The beginnings of nginx's ngx_http_request_t and ngx_connection_t: the same in all its versions.
 */
struct nginx_connection {
    void *data, *read, *write;
    int fd;
};
struct nginx_request {
    uint32_t signature;
    const struct nginx_connection *connection;
};
enum { NGX_HTTP_MODULE = 0x50545448, NO_FD = -1, NOT_KNOWN = -2 };

/* Once, and by a function that its modules call. */
static bool is_nginx(void)
{
    static uint8_t answer; /* 1: no, 2: yes */
    if (answer == 0) {
        void *function = NULL;
        answer = hooks_find("ngx_http_core_run_phases\0", &function) ? 2 : 1;
        counter_add(COUNTER_CARRIER_LUA, answer == 2);
    }
    return answer == 2;
}

static bool is_told(const struct lua *lua)
{
    return process.page != NULL && (config.carriers & CARRIER_LUA) &&
           FOREIGN_HAS(lua, lua_getexdata) && is_nginx();
}

/* Of the connection that the coroutine serves. A request that is made up has none. */
static int fd_of(const struct lua *lua, lua_State *coroutine)
{
    const struct nginx_request *request = lua->lua_getexdata(coroutine);
    if (request == NULL || request->signature != NGX_HTTP_MODULE || request->connection == NULL)
        return NOT_KNOWN;
    return request->connection->fd < NO_FD ? NOT_KNOWN : request->connection->fd;
}

/* False: it is not known whose it is, and what else is known decides. */
static bool find(const struct lua *lua, lua_State *coroutine, uint32_t *handle)
{
    if (coroutines_find(coroutine, handle))
        return true;
    int fd = fd_of(lua, coroutine);
    if (fd == NOT_KNOWN)
        return false;
    *handle = fd == NO_FD ? CARRIER_NONE : carrier_take_of(fd, carrier_serves_by(fd));
    if (fd != NO_FD && *handle == CARRIER_NONE)
        return false;
    coroutines_keep(coroutine, *handle);
    return true;
}

static int run(const struct lua *lua, lua_State *coroutine, uintptr_t a, uintptr_t b, uintptr_t c)
{
    uint32_t handle;
    if (!find(lua, coroutine, &handle))
        return lua->lua_resume(coroutine, a, b, c);
    struct carrier_view outer = carrier_look();
    carrier_step(handle);
    coroutines_rest(coroutine, false);
    int status = lua->lua_resume(coroutine, a, b, c);
    if (status == LUA_YIELD)
        coroutines_rest(coroutine, true);
    else
        coroutines_forget(coroutine);
    carrier_stepped(handle, &outer);
    return status;
}

HOOK_FOREIGN(int, lua_resume, (lua_State * coroutine, uintptr_t a, uintptr_t b, uintptr_t c))
{
    FOREIGN(lua);
    if (!is_told(lua))
        return lua->lua_resume(coroutine, a, b, c);
    return run(lua, coroutine, a, b, c);
}

HOOK_FOREIGN(lua_State *, lua_newthread, (lua_State * state))
{
    FOREIGN(lua);
    lua_State *made = lua->lua_newthread(state);
    coroutines_forget(made);
    return made;
}

HOOK_FOREIGN(void, lua_xmove, (lua_State * from, lua_State *to, int count))
{
    FOREIGN(lua);
    struct carrier_view running = carrier_look();
    uint32_t handle, own;
    if (running.is_carried && from != to && coroutines_find(from, &handle) &&
        handle == running.handle && !coroutines_find(to, &own))
        coroutines_keep(to, carrier_hold(handle));
    lua->lua_xmove(from, to, count);
}

/* Of Lua 5.4 it has one parameter, and a result. */
HOOK_FOREIGN(long, lua_resetthread, (lua_State * state, lua_State *coroutine))
{
    FOREIGN(lua);
    if (is_told(lua))
        coroutines_forget(coroutine);
    return lua->lua_resetthread(state, coroutine);
}

FOREIGN_UNVERSIONED(lua_resume);
FOREIGN_UNVERSIONED(lua_newthread);
FOREIGN_UNVERSIONED(lua_xmove);
FOREIGN_UNVERSIONED(lua_resetthread);
