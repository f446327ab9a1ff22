/* SPDX-License-Identifier: Apache-2.0 */
/* Of Lua 5.4's lua.h what any_lua.c has. */
#pragma once

#include <stddef.h>

typedef struct lua_State lua_State;

int lua_resume(lua_State *state, lua_State *from, int count, int *results);
int lua_resetthread(lua_State *state);
lua_State *lua_newthread(lua_State *state);
void lua_xmove(lua_State *from, lua_State *to, int count);
