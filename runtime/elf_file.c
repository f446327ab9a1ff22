/* SPDX-License-Identifier: Apache-2.0 */
/* ELF specification, "ELF Header", "Sections", "Note Section". */
#include "elf_file.h"

#include <string.h>

#include "sys.h"

bool file_read(long fd, uint64_t offset, void *out, size_t bytes)
{
    return offset <= INT64_MAX && sys(SYS_pread64, fd, out, bytes, offset) == (long)bytes;
}

bool elf_open(struct elf_file *file, long fd)
{
    const ElfW(Ehdr) *header = &file->header;
    file->fd = fd;
    return file_read(fd, 0, &file->header, sizeof(file->header)) &&
           memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
           header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
           header->e_phentsize == sizeof(ElfW(Phdr)) && header->e_shentsize == sizeof(ElfW(Shdr));
}

bool elf_linked_address(const struct elf_file *file, uint64_t offset, uint64_t *address)
{
    ElfW(Phdr) part;
    for (unsigned i = 0; i < file->header.e_phnum; i++)
        if (file_read(file->fd, file->header.e_phoff + i * sizeof(part), &part, sizeof(part)) &&
            part.p_type == PT_LOAD && offset >= part.p_offset &&
            offset - part.p_offset < part.p_filesz) {
            *address = offset - part.p_offset + part.p_vaddr;
            return true;
        }
    return false;
}

bool elf_section(const struct elf_file *file, unsigned index, ElfW(Shdr) * out)
{
    return index < file->header.e_shnum && index < ELF_SECTIONS_MAX &&
           file_read(file->fd, file->header.e_shoff + index * sizeof(*out), out, sizeof(*out));
}

/* Of a name that ends the file, nothing more than is there is read. */
static bool is_named(
    const struct elf_file *file, const ElfW(Shdr) * names, uint64_t at, const char *name)
{
    char found[24];
    size_t length = strlen(name) + 1;
    return length <= sizeof(found) && at < names->sh_size && names->sh_size - at >= length &&
           file_read(file->fd, names->sh_offset + at, found, length) &&
           memcmp(found, name, length) == 0;
}

bool elf_find_section(const struct elf_file *file, const char *name, ElfW(Shdr) * out)
{
    ElfW(Shdr) names;
    if (!elf_section(file, file->header.e_shstrndx, &names))
        return false;
    for (unsigned i = 0; elf_section(file, i, out); i++)
        if (is_named(file, &names, out->sh_name, name))
            return true;
    return false;
}

/* The linker gives it a section of its own: a header, "GNU", the bytes. */
struct build_id elf_build_id(const struct elf_file *file)
{
    struct build_id id = {.length = 0};
    struct {
        ElfW(Nhdr) header;
        char owner[4];
    } note;
    ElfW(Shdr) section;
    if (!elf_find_section(file, ".note.gnu.build-id", &section) || section.sh_size < sizeof(note) ||
        !file_read(file->fd, section.sh_offset, &note, sizeof(note)) ||
        note.header.n_type != NT_GNU_BUILD_ID || memcmp(note.owner, "GNU", 4) != 0 ||
        note.header.n_descsz > sizeof(id.bytes) ||
        note.header.n_descsz > section.sh_size - sizeof(note) ||
        !file_read(file->fd, section.sh_offset + sizeof(note), id.bytes, note.header.n_descsz))
        return id;
    id.length = note.header.n_descsz;
    return id;
}
