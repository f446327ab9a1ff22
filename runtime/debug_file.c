/* SPDX-License-Identifier: Apache-2.0 */
/* GDB manual, "Debugging Information in Separate Files". */
#include "debug_file.h"

#include <string.h>

#include "format.h"

#define DEBUG_ROOT "/usr/lib/debug"

/* /usr/lib/debug/.build-id/12/3456.debug */
static void by_build_id(const struct elf_file *object, struct format *format)
{
    struct build_id id = elf_build_id(object);
    if (id.length < 2) {
        format->fits = false;
        return;
    }
    format_text(format, DEBUG_ROOT "/.build-id/");
    for (size_t i = 0; i < id.length; i++) {
        format_bytes(format, &"0123456789abcdef"[id.bytes[i] >> 4], 1);
        format_bytes(format, &"0123456789abcdef"[id.bytes[i] & 15], 1);
        if (i == 0)
            format_text(format, "/");
    }
    format_text(format, ".debug");
}

/* A file's name alone: one with a folder is none of ours to follow. */
static bool read_link(const struct elf_file *object, char name[64])
{
    ElfW(Shdr) section;
    if (!elf_find_section(object, ".gnu_debuglink", &section))
        return false;
    size_t length = section.sh_size < 64 ? section.sh_size : 64;
    return file_read(object->fd, section.sh_offset, name, length) &&
           memchr(name, '\0', length) != NULL && name[0] != '\0' && strchr(name, '/') == NULL;
}

bool debug_file_path(
    const struct elf_file *object, const char *path, unsigned n, char out[DEBUG_PATH_MAX])
{
    static const struct {
        const char *before, *after; /* the object's folder */
    } places[] = {{"", "/"}, {"", "/.debug/"}, {DEBUG_ROOT, "/"}};
    enum { BY_LINK = DEBUG_FILES_MAX - sizeof(places) / sizeof(places[0]) };
    char name[64];
    struct format format;
    format_start(&format, out, DEBUG_PATH_MAX);
    if (n == 0) {
        format_text(&format, path);
    } else if (n < BY_LINK) {
        by_build_id(object, &format);
    } else if (read_link(object, name)) {
        format_text(&format, places[n - BY_LINK].before);
        format_bytes(&format, path, (size_t)(strrchr(path, '/') - path));
        format_text(&format, places[n - BY_LINK].after);
        format_text(&format, name);
    } else {
        return false;
    }
    return format.fits;
}
