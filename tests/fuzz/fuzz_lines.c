/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of line tables. The input's first byte says what the rest is: an ELF file, or
 * .debug_line alone, which is then also where its names lie. The next four are the first address
 * that is asked for, and one more the distance to the others. Or the rest is what zlib has packed,
 * and four say how much.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "debug_file.h"
#include "source_lines.h"
#include "unpack.h"

enum { HEAD = 6, ASKED = 24, UNITS_MAX = 100000, PACKED = 0xff, UNPACKED_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

struct question {
    struct source_line answers[ASKED];
    struct line_wanted wanted[ASKED];
};

static void ask(struct question *question, const uint8_t *head)
{
    uint32_t address;
    memcpy(&address, head + 1, sizeof(address));
    memset(question, 0, sizeof(*question));
    for (unsigned i = 0; i < ASKED; i++)
        question->wanted[i] = (struct line_wanted){
            .address = address + (uint64_t)i * head[5], .answer = &question->answers[i]};
}

static void check_covered(const struct question *question, uint64_t unit, struct line_cover cover)
{
    for (unsigned i = 0; i < ASKED; i++) {
        const struct line_wanted *wanted = &question->wanted[i];
        require(!wanted->is_found || wanted->unit != unit ||
                    (wanted->address >= cover.low && wanted->address < cover.high),
            "what is found is covered");
    }
}

static void run_all(const struct line_tables *tables, struct question *question)
{
    uint64_t unit = 0, next = 0;
    for (unsigned units = 0; line_program_next(tables, &next); units++) {
        struct line_cover cover;
        uint64_t here = unit;
        require(line_program_run(tables, &unit, question->wanted, ASKED, &cover),
            "a unit that has a next one can be run");
        require(unit == next && unit > here && unit <= tables->lines.size && units < UNITS_MAX,
            "each unit is a step, within the section");
        check_covered(question, here, cover);
    }
    for (unsigned i = 0; i < ASKED; i++) {
        if (question->wanted[i].is_found)
            line_program_path(tables, &question->wanted[i]);
        require(memchr(question->answers[i].path, '\0', SOURCE_PATH_MAX) != NULL, "a path ends");
    }
}

static bool find_range(const struct elf_file *file, const char *name, struct byte_range *range)
{
    ElfW(Shdr) section;
    if (!elf_find_section(file, name, &section))
        return false;
    *range = (struct byte_range){.offset = section.sh_offset, .size = section.sh_size};
    return section.sh_size <= LINES_TABLE_BYTES_MAX && (section.sh_flags & SHF_COMPRESSED) == 0;
}

/* By the object's name all is found that is found in its tables one by one. */
static void check_file(const struct elf_file *file, const char *path, const uint8_t *head)
{
    static struct question one, all;
    struct line_tables tables = {.fd = file->fd};
    char name[DEBUG_PATH_MAX];
    uint64_t address;
    for (unsigned n = 0; n < DEBUG_FILES_MAX; n++)
        require(!debug_file_path(file, path, n, name) || strlen(name) < sizeof(name),
            "paths have their room");
    elf_linked_address(file, head[5], &address);
    ask(&all, head);
    ask(&one, head);
    if (!source_lines_find(file, path, one.wanted, ASKED) ||
        !find_range(file, ".debug_line", &tables.lines))
        return;
    find_range(file, ".debug_line_str", &tables.line_strings);
    find_range(file, ".debug_str", &tables.strings);
    run_all(&tables, &all);
    for (unsigned i = 0; i < ASKED; i++)
        require(!one.wanted[i].is_found || one.answers[i].line == all.answers[i].line,
            "the same line by both ways");
}

/* In blocks of exact sizes, so that ASan sees their ends. */
static void unpack(const uint8_t *data, size_t length)
{
    uint32_t size;
    memcpy(&size, data + 1, sizeof(size));
    size %= UNPACKED_MAX;
    uint8_t *packed = malloc(length - HEAD), *out = malloc(size);
    if (length > HEAD)
        memcpy(packed, data + HEAD, length - HEAD);
    struct byte_range range = {.memory = packed};
    bool is_whole = unpack_zlib(line_bytes_at(-1, &range, 0, length - HEAD), out, size);
    require(!is_whole || length - HEAD >= 8, "no more comes out than can");
    free(packed);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char path[32];
    struct elf_file file;
    static struct question question;
    if (length < HEAD)
        return 0;
    if (data[0] == PACKED) {
        unpack(data, length);
        return 0;
    }
    int fd = memfd_create("object", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data + HEAD, length - HEAD) == (ssize_t)(length - HEAD), "a file");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (data[0] % 2 == 0) {
        struct byte_range whole = {.size = length - HEAD};
        ask(&question, data);
        run_all(&(struct line_tables){fd, whole, whole, whole}, &question);
    } else if (elf_open(&file, fd)) {
        check_file(&file, path, data);
    }
    close(fd);
    return 0;
}
