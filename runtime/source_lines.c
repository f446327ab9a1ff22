/* SPDX-License-Identifier: Apache-2.0 */
#include "source_lines.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "counters.h"
#include "debug_file.h"
#include "memory.h"
#include "process.h"
#include "sys.h"
#include "unpack.h"

enum { MODULES_MAX = 16, PARTS_MAX = 512 };

/* --- what is remembered of an object --------------------------------------------------------- */

struct identity {
    uint64_t device, inode, size, changed_ns;
};

/* One unit or several that follow one another. Ends where the next begins. */
struct part {
    uint64_t offset;
    struct line_cover cover;
};

static struct module {
    struct identity object, debug; /* debug.inode 0: there are no lines to be read */
    unsigned place;                /* of its debug file: debug_file_path */
    struct line_tables tables;     /* fd: as long as it is being asked */
    uint64_t read;                 /* so much of the table has been read: what has parts */
    uint8_t *memory;               /* what was compressed, likewise; NULL: there is none */
    size_t mapped;                 /* bytes of it */
    size_t part_count;
    struct part parts[PARTS_MAX];
} modules[MODULES_MAX];

static bool identify(long fd, struct identity *identity)
{
    struct stat status;
    if (sys(SYS_fstat, fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    *identity = (struct identity){status.st_dev, status.st_ino, (uint64_t)status.st_size,
        (uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec};
    return true;
}

static bool is_same(const struct identity *one, const struct identity *other)
{
    return one->device == other->device && one->inode == other->inode && one->size == other->size &&
           one->changed_ns == other->changed_ns;
}

/* --- how much is read ------------------------------------------------------------------------ */

static uint64_t second, bytes_left;

static bool may_read(uint64_t bytes)
{
    uint64_t now = process_monotonic_ns() / 1000000000u;
    if (now != second) {
        second = now;
        bytes_left = LINES_BYTES_PER_SECOND;
    }
    if (bytes > bytes_left)
        return false;
    bytes_left -= bytes;
    return true;
}

/* --- its tables ------------------------------------------------------------------------------ */

/* ELF specification, "Compressed Sections". */
static bool find_packed(
    const struct elf_file *file, const ElfW(Shdr) * section, struct byte_range *range)
{
    ElfW(Chdr) head;
    if (section->sh_size <= sizeof(head) ||
        !file_read(file->fd, section->sh_offset, &head, sizeof(head)) ||
        head.ch_type != ELFCOMPRESS_ZLIB || head.ch_size > LINES_UNPACKED_BYTES_MAX)
        return false;
    *range = (struct byte_range){.offset = section->sh_offset + sizeof(head),
        .size = head.ch_size,
        .packed = section->sh_size - sizeof(head)};
    return true;
}

static bool find_section(const struct elf_file *file, const char *name, struct byte_range *range)
{
    ElfW(Shdr) section;
    *range = (struct byte_range){0};
    if (!elf_find_section(file, name, &section) || section.sh_type == SHT_NOBITS ||
        section.sh_size == 0)
        return false;
    bool is_packed = (section.sh_flags & SHF_COMPRESSED) != 0;
    if (section.sh_size > LINES_TABLE_BYTES_MAX ||
        (is_packed && !find_packed(file, &section, range))) {
        counter_add(COUNTER_CODE_LINES_REFUSED, 1);
        return false;
    }
    if (!is_packed)
        *range = (struct byte_range){.offset = section.sh_offset, .size = section.sh_size};
    return true;
}

static uint64_t unpacked_bytes(const struct line_tables *tables)
{
    return (tables->lines.packed != 0 ? tables->lines.size : 0) +
           (tables->line_strings.packed != 0 ? tables->line_strings.size : 0);
}

/* What all names of a program are in is not unpacked for the few that lines may have there. */
static bool find_tables(const struct elf_file *file, struct line_tables *tables)
{
    if (!find_section(file, ".debug_line", &tables->lines))
        return false;
    find_section(file, ".debug_line_str", &tables->line_strings);
    find_section(file, ".debug_str", &tables->strings);
    if (tables->strings.packed != 0)
        tables->strings = (struct byte_range){0};
    if (unpacked_bytes(tables) <= LINES_UNPACKED_BYTES_MAX)
        return true;
    counter_add(COUNTER_CODE_LINES_REFUSED, 1);
    return false;
}

/* False: broken. */
static bool unpack_range(long fd, struct byte_range *range, uint8_t *memory)
{
    if (range->packed == 0)
        return true;
    range->memory = memory;
    return unpack_zlib(
        line_bytes_at(fd, &(struct byte_range){.offset = range->offset}, 0, range->packed), memory,
        (size_t)range->size);
}

/* For as long as it is asked. False: not now. If it is broken, no lines are found. */
static bool unpack(struct module *module)
{
    struct line_tables *tables = &module->tables;
    uint64_t bytes = unpacked_bytes(tables);
    if (bytes == 0)
        return true;
    if (!may_read(bytes))
        return false;
    module->mapped = (size_t)bytes;
    module->memory = memory_map(module->mapped);
    if (module->memory != NULL && unpack_range(tables->fd, &tables->lines, module->memory) &&
        unpack_range(tables->fd, &tables->line_strings,
            module->memory + (tables->lines.packed != 0 ? tables->lines.size : 0)))
        return true;
    counter_add(COUNTER_CODE_LINES_REFUSED, 1);
    module->debug.inode = module->read = module->part_count = tables->lines.size = 0;
    return true;
}

/* A file that is found by name could be another's: its build-id tells. */
static bool is_of(const struct elf_file *file, const struct elf_file *object)
{
    struct build_id one = elf_build_id(file), other = elf_build_id(object);
    return one.length > 0 && one.length == other.length &&
           memcmp(one.bytes, other.bytes, one.length) == 0;
}

static long open_file(const char *path)
{
    return sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
}

static bool try_place(
    struct module *module, const struct elf_file *object, const char *path, unsigned n)
{
    char name[DEBUG_PATH_MAX];
    struct elf_file file;
    bool found = false;
    long fd = debug_file_path(object, path, n, name) ? open_file(name) : -1;
    if (fd < 0)
        return false;
    if (identify(fd, &module->debug) && elf_open(&file, fd))
        found = (n == 0 ? is_same(&module->debug, &module->object) : is_of(&file, object)) &&
                find_tables(&file, &module->tables);
    sys(SYS_close, fd);
    module->place = n;
    return found;
}

static struct module *module_of(const struct elf_file *object, const char *path)
{
    static size_t oldest;
    struct identity identity;
    if (!identify(object->fd, &identity))
        return NULL;
    for (size_t i = 0; i < MODULES_MAX; i++)
        if (is_same(&modules[i].object, &identity))
            return &modules[i];
    struct module *module = &modules[oldest++ % MODULES_MAX];
    module->object = identity;
    module->read = module->part_count = 0;
    for (unsigned n = 0; n < DEBUG_FILES_MAX; n++)
        if (try_place(module, object, path, n))
            return module;
    module->debug.inode = 0;
    return module;
}

static bool open_tables(struct module *module, const struct elf_file *object, const char *path)
{
    char name[DEBUG_PATH_MAX];
    struct identity identity;
    if (module->debug.inode == 0 || !debug_file_path(object, path, module->place, name))
        return false;
    module->tables.fd = open_file(name);
    if (module->tables.fd < 0)
        return false;
    if (identify(module->tables.fd, &identity) && is_same(&identity, &module->debug))
        return true;
    sys(SYS_close, module->tables.fd);
    return false;
}

static void close_tables(struct module *module)
{
    sys(SYS_close, module->tables.fd);
    if (module->memory != NULL)
        memory_unmap(module->memory, module->mapped);
    module->memory = NULL;
    module->tables.lines.memory = module->tables.line_strings.memory = NULL;
}

/* --- a question ------------------------------------------------------------------------------ */

static void add_cover(struct line_cover *cover, const struct line_cover *more)
{
    if (more->low < cover->low)
        cover->low = more->low;
    if (more->high > cover->high)
        cover->high = more->high;
}

/* If there is no room, each two become one. */
static void note_part(struct module *module, uint64_t offset, const struct line_cover *cover)
{
    if (module->part_count == PARTS_MAX) {
        module->part_count /= 2;
        for (size_t i = 0; i < module->part_count; i++) {
            struct part part = module->parts[2 * i];
            add_cover(&part.cover, &module->parts[2 * i + 1].cover);
            module->parts[i] = part;
        }
    }
    module->parts[module->part_count++] = (struct part){offset, *cover};
}

static bool is_asked(const struct part *part, const struct line_wanted wanted[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!wanted[i].is_found && wanted[i].address >= part->cover.low &&
            wanted[i].address < part->cover.high)
            return true;
    return false;
}

static bool is_open(const struct line_wanted wanted[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!wanted[i].is_found)
            return true;
    return false;
}

static bool run_part(struct module *module, size_t at, struct line_wanted wanted[], size_t count)
{
    uint64_t unit = module->parts[at].offset;
    uint64_t end = at + 1 < module->part_count ? module->parts[at + 1].offset : module->read;
    struct line_cover cover;
    if (!may_read(end - unit))
        return false;
    while (unit < end && line_program_run(&module->tables, &unit, wanted, count, &cover))
        ;
    return true;
}

/* What has not been read yet, as far as it must be. */
static bool read_on(struct module *module, struct line_wanted wanted[], size_t count)
{
    const struct line_tables *tables = &module->tables;
    while (module->read < tables->lines.size && is_open(wanted, count)) {
        struct line_cover cover;
        uint64_t unit = module->read, next = unit;
        if (!line_program_next(tables, &next)) {
            module->read = tables->lines.size; /* the rest cannot be read */
            return true;
        }
        if (next - unit > LINES_BYTES_PER_SECOND - unpacked_bytes(tables)) {
            counter_add(COUNTER_CODE_LINES_REFUSED, 1);
            module->read = next;
            continue;
        }
        if (!may_read(next - unit))
            return false;
        line_program_run(tables, &module->read, wanted, count, &cover);
        note_part(module, unit, &cover);
    }
    return true;
}

static bool run(struct module *module, struct line_wanted wanted[], size_t count)
{
    for (size_t i = 0; i < module->part_count; i++)
        if (is_asked(&module->parts[i], wanted, count) && !run_part(module, i, wanted, count))
            return false;
    return read_on(module, wanted, count);
}

bool source_lines_find(
    const struct elf_file *object, const char *path, struct line_wanted wanted[], size_t count)
{
    struct module *module = module_of(object, path);
    if (module == NULL || !open_tables(module, object, path))
        return true;
    bool is_done = unpack(module) && run(module, wanted, count);
    for (size_t i = 0; i < count; i++)
        if (wanted[i].is_found && wanted[i].answer->line != 0)
            line_program_path(&module->tables, &wanted[i]);
    close_tables(module);
    return is_done;
}
