/* SPDX-License-Identifier: Apache-2.0 */
/* A program with a Lua inside that is not the one that is followed: all parameters and results
 * pass. */
#include <stdio.h>

#include "any_lua.h"

int main(void)
{
    int place[2] = {1, 2}, results = 0;
    lua_State *one = (lua_State *)&place[0], *other = (lua_State *)&place[1];
    int status = lua_resume(one, one, 41, &results);
    printf("resume %d %d, ", status, results);
    status = lua_resume(one, other, -3, &results);
    printf("%d %d; reset %d %d; ", status, results, lua_resetthread(NULL), lua_resetthread(one));
    lua_xmove(lua_newthread(one), other, 5);
    printf("moved %d\n", place[1]);
    return 0;
}
