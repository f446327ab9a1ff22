/* SPDX-License-Identifier: Apache-2.0 */
/* Where there is no libyaml. */
#include <stdlib.h>

#include "cli.h"
#include "config_file.h"

bool config_file_apply(bool tells)
{
    const char *path = getenv("OTEL_CONFIG_FILE");
    if (path == NULL || *path == '\0' || getenv("BURDOCK_CONFIG") != NULL)
        return true;
    if (tells)
        complain(path, "this burdock was built without libyaml, which reads such files",
            "set the variables themselves");
    return false;
}
