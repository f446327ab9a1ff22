/* SPDX-License-Identifier: Apache-2.0 */
#include "symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "source_lines.h"
#include "sys.h"
#include "unwind.h"

enum { KNOWN_MAX = 256, CHUNK_BYTES = 16 * 1024 };

/* --- what was found before ----------------------------------------------------------------- */

static struct known {
    uintptr_t address;
    struct symbol symbol;
} known[KNOWN_MAX];

static uint32_t known_generation;

static void forget_unloaded(void)
{
    uint32_t generation = __atomic_load_n(&unwind_generation, __ATOMIC_RELAXED);
    if (generation == known_generation)
        return;
    known_generation = generation;
    for (size_t i = 0; i < KNOWN_MAX; i++)
        known[i].address = 0;
}

/* The next one if this stack is using the first for another address. */
static struct known *place_of(uintptr_t address, const struct symbol *used[], size_t count)
{
    struct known *place = &known[(address ^ address >> 9) % KNOWN_MAX];
    for (size_t probes = 0; probes < KNOWN_MAX; probes++) {
        if (place->address == address)
            return place;
        bool is_used = false;
        for (size_t i = 0; i < count; i++)
            is_used |= used[i] == &place->symbol;
        if (!is_used)
            return place;
        place = place == &known[KNOWN_MAX - 1] ? known : place + 1;
    }
    return place;
}

/* --- names in an object's file ------------------------------------------------------------- */

/* The table of symbols, the whole one if there is one, and that of their names. */
static bool find_tables(const struct elf_file *file, ElfW(Shdr) * symbols, ElfW(Shdr) * names)
{
    ElfW(Shdr) section;
    *symbols = (ElfW(Shdr)){.sh_type = SHT_NULL};
    for (unsigned i = 0; elf_section(file, i, &section); i++)
        if (section.sh_type == SHT_SYMTAB ||
            (section.sh_type == SHT_DYNSYM && symbols->sh_type == SHT_NULL))
            *symbols = section;
    return symbols->sh_type != SHT_NULL && symbols->sh_entsize == sizeof(ElfW(Sym)) &&
           elf_section(file, symbols->sh_link, names);
}

static bool is_function_at(const ElfW(Sym) * symbol, uint64_t address)
{
    unsigned type = symbol->st_info & 15;
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
           address >= symbol->st_value && address - symbol->st_value < symbol->st_size;
}

/* The function that the address lies in; the first of several names. */
static bool find_function(long fd, const ElfW(Shdr) * table, uint64_t address, ElfW(Sym) * found)
{
    static ElfW(Sym) some[1024];
    uint64_t count = table->sh_size / sizeof(some[0]);
    for (uint64_t from = 0; from < count; from += sizeof(some) / sizeof(some[0])) {
        size_t part = count - from < sizeof(some) / sizeof(some[0])
                          ? (size_t)(count - from)
                          : sizeof(some) / sizeof(some[0]);
        if (!file_read(fd, table->sh_offset + from * sizeof(some[0]), some, part * sizeof(some[0])))
            return false;
        for (size_t i = 0; i < part; i++)
            if (is_function_at(&some[i], address)) {
                *found = some[i];
                return true;
            }
    }
    return false;
}

static void find_name(const struct elf_file *file, uint64_t address, struct symbol *out)
{
    ElfW(Shdr) table, names;
    ElfW(Sym) function;
    if (!find_tables(file, &table, &names) ||
        !find_function(file->fd, &table, address, &function) || function.st_name >= names.sh_size)
        return;
    uint64_t room = names.sh_size - function.st_name;
    size_t length = room < sizeof(out->name) - 1 ? (size_t)room : sizeof(out->name) - 1;
    if (!file_read(file->fd, names.sh_offset + function.st_name, out->name, length))
        length = 0;
    out->name[length] = '\0'; /* a longer one is cut */
    if (out->name[0] != '\0')
        out->offset = address - function.st_value + 1; /* it is of the call, one byte before */
}

/* --- objects in memory --------------------------------------------------------------------- */

/* A line of /proc/self/maps, proc_pid_maps(5). */
struct mapping {
    uint64_t begin, end, offset, major, minor, inode;
    const char *path;
};

static uint64_t take_number(const char **at, unsigned base)
{
    uint64_t value = 0;
    for (;; (*at)++) {
        unsigned digit = (unsigned char)**at - '0';
        if (digit > 9)
            digit = (unsigned)((**at | 0x20) - 'a') + 10;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    if (**at != '\0')
        (*at)++; /* what stands between numbers */
    return value;
}

static struct mapping read_line(const char *line)
{
    struct mapping mapping;
    mapping.begin = take_number(&line, 16);
    mapping.end = take_number(&line, 16);
    line += strcspn(line, " "); /* what is permitted */
    line += *line != '\0';
    mapping.offset = take_number(&line, 16);
    mapping.major = take_number(&line, 16);
    mapping.minor = take_number(&line, 16);
    mapping.inode = take_number(&line, 10);
    mapping.path = line + strspn(line, " ");
    return mapping;
}

/* The call is one byte before the address that it returns to. */
static bool is_within(const struct mapping *mapping, uint64_t address, uint64_t *offset)
{
    *offset = address - 1 - mapping->begin + mapping->offset;
    return address - 1 >= mapping->begin && address - 1 < mapping->end;
}

/* -1 if the file is not the one that was mapped. */
static long open_object(const struct mapping *mapping)
{
    struct stat status;
    long fd = sys(SYS_openat, AT_FDCWD, mapping->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (sys(SYS_fstat, fd, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_ino == mapping->inode && major(status.st_dev) == mapping->major &&
        minor(status.st_dev) == mapping->minor)
        return fd;
    sys(SYS_close, fd);
    return -1;
}

static void set_object(struct symbol *symbol, const char *path)
{
    size_t length = strlen(path);
    if (length >= sizeof(symbol->object))
        length = sizeof(symbol->object) - 1;
    memcpy(symbol->object, path, length);
}

struct question {
    const uintptr_t *addresses;
    struct known **places; /* NULL: it was known */
    size_t count;
};

/* What is asked of one object, in ascending order. */
struct asked {
    struct line_wanted wanted[UNWIND_FRAMES_MAX];
    struct known *places[UNWIND_FRAMES_MAX];
    size_t count;
};

static void ask(struct asked *asked, uint64_t address, struct known *place)
{
    size_t at = asked->count++;
    for (; at > 0 && asked->wanted[at - 1].address > address; at--) {
        asked->wanted[at] = asked->wanted[at - 1];
        asked->places[at] = asked->places[at - 1];
    }
    asked->wanted[at] = (struct line_wanted){.address = address, .answer = &place->symbol.source};
    asked->places[at] = place;
}

static void answer_file(const struct question *question, const struct mapping *mapping)
{
    struct elf_file file;
    struct asked asked = {.count = 0};
    long fd = open_object(mapping);
    if (fd < 0)
        return;
    bool is_object = elf_open(&file, fd);
    for (size_t i = 0; i < question->count && is_object; i++) {
        struct known *place = question->places[i];
        uint64_t address, offset;
        if (place == NULL || !is_within(mapping, question->addresses[i], &offset) ||
            !elf_linked_address(&file, offset, &address))
            continue;
        find_name(&file, address, &place->symbol);
        ask(&asked, address, place);
    }
    if (!source_lines_find(&file, mapping->path, asked.wanted, asked.count))
        for (size_t i = 0; i < asked.count; i++)
            asked.places[i]->address = 0; /* to be asked again */
    sys(SYS_close, fd);
}

static void answer(const struct question *question, const struct mapping *mapping)
{
    const char *slash = mapping->path[0] == '/' ? strrchr(mapping->path, '/') : NULL;
    bool is_asked = false;
    for (size_t i = 0; i < question->count && slash != NULL; i++) {
        struct known *place = question->places[i];
        uint64_t offset;
        if (place == NULL || !is_within(mapping, question->addresses[i], &offset))
            continue;
        set_object(&place->symbol, slash + 1);
        place->symbol.offset = offset + 1;
        is_asked = true;
    }
    if (is_asked)
        answer_file(question, mapping);
}

static void read_maps(const struct question *question)
{
    static char buffer[CHUNK_BYTES + 1];
    size_t used = 0;
    long fd = sys(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    for (;;) {
        long got = sys(SYS_read, fd, buffer + used, CHUNK_BYTES - used);
        if (got <= 0)
            break;
        used += (size_t)got;
        buffer[used] = '\0';
        char *line = buffer, *end;
        for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            struct mapping mapping = read_line(line);
            answer(question, &mapping);
        }
        used -= (size_t)(line - buffer);
        memmove(buffer, line, used);
        if (used == CHUNK_BYTES)
            break; /* no path is as long */
    }
    sys(SYS_close, fd);
}

void symbols_find(const uintptr_t addresses[], size_t count, const struct symbol *found[])
{
    struct known *places[UNWIND_FRAMES_MAX];
    bool is_asked = false;
    if (count > UNWIND_FRAMES_MAX)
        count = UNWIND_FRAMES_MAX;
    forget_unloaded();
    for (size_t i = 0; i < count; i++) {
        struct known *place = place_of(addresses[i], found, i);
        found[i] = &place->symbol;
        places[i] = place->address == addresses[i] ? NULL : place;
        if (places[i] == NULL)
            continue;
        *place = (struct known){.address = addresses[i]};
        is_asked = true;
    }
    if (is_asked)
        read_maps(&(struct question){addresses, places, count});
}
