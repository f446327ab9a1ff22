/* SPDX-License-Identifier: Apache-2.0 */
/* Functions named as those of Lua 5.4, in a library without versions: what they get, they tell. */
#include "any_lua.h"

int lua_resume(lua_State *state, lua_State *from, int count, int *results)
{
    *results = count + 1;
    return state == from ? 7 : 8;
}

int lua_resetthread(lua_State *state)
{
    return state == NULL ? 5 : 6;
}

lua_State *lua_newthread(lua_State *state)
{
    return state;
}

void lua_xmove(lua_State *from, lua_State *to, int count)
{
    *(int *)to = count + *(int *)from;
}
