/* SPDX-License-Identifier: Apache-2.0 */
/* ELF by the System V ABI, gABI 4.1 chapters 4 and 5. The file is not trusted: every place in it
 * goes through view(). */
#include "elf_facts.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { OWN_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { OWN_MACHINE = EM_AARCH64 };
#endif

struct image {
    const uint8_t *bytes;
    size_t length;
};

static const void *view(const struct image *image, uint64_t offset, uint64_t length)
{
    if (offset > image->length || length > image->length - offset)
        return NULL;
    return image->bytes + offset;
}

/* A text that ends within the file, or NULL. */
static const char *view_text(const struct image *image, uint64_t offset)
{
    const char *text = view(image, offset, 1);
    if (!text || !memchr(text, 0, image->length - offset))
        return NULL;
    return text;
}

/* The next word of the first line into out; answers the place behind it. */
static size_t word_read(const struct image *image, size_t at, char *out, size_t room)
{
    size_t length = 0;
    while (at < image->length && (image->bytes[at] == ' ' || image->bytes[at] == '\t'))
        at++;
    while (at + length < image->length && !memchr(" \t\r\n", image->bytes[at + length], 4))
        length++;
    if (length < room)
        memcpy(out, image->bytes + at, length);
    return at + length;
}

static void script_read(const struct image *image, struct elf_facts *facts)
{
    facts->kind = FILE_SCRIPT;
    size_t at = word_read(image, 2, facts->interpreter, sizeof facts->interpreter);
    word_read(image, at, facts->argument, sizeof facts->argument);
}

static const Elf64_Phdr *segment(const struct image *image, const Elf64_Ehdr *head, unsigned i)
{
    return view(image, head->e_phoff + (uint64_t)i * head->e_phentsize, sizeof(Elf64_Phdr));
}

static void interpreter_read(
    const struct image *image, const Elf64_Phdr *segment, struct elf_facts *facts)
{
    const char *text = view_text(image, segment->p_offset);
    if (text && strlen(text) < sizeof facts->interpreter)
        strcpy(facts->interpreter, text);
    else
        facts->damaged = true;
}

/* Address to place in the file. */
static uint64_t offset_of(const struct image *image, const Elf64_Ehdr *head, uint64_t address)
{
    for (unsigned i = 0; i < head->e_phnum; i++) {
        const Elf64_Phdr *load = segment(image, head, i);
        if (load && load->p_type == PT_LOAD && address >= load->p_vaddr &&
            address - load->p_vaddr < load->p_filesz)
            return load->p_offset + (address - load->p_vaddr);
    }
    return UINT64_MAX;
}

static bool is_tls_library(const char *name)
{
    return strncmp(name, "libssl.", 7) == 0 || strncmp(name, "libgnutls.", 10) == 0;
}

static void dynamic_read(const struct image *image, const Elf64_Ehdr *head,
    const Elf64_Phdr *dynamic, struct elf_facts *facts)
{
    size_t count = dynamic->p_filesz / sizeof(Elf64_Dyn);
    const Elf64_Dyn *entries = view(image, dynamic->p_offset, count * sizeof(Elf64_Dyn));
    uint64_t strings = UINT64_MAX;
    for (size_t i = 0; entries && i < count; i++) {
        if (entries[i].d_tag == DT_STRTAB)
            strings = offset_of(image, head, entries[i].d_un.d_ptr);
    }
    for (size_t i = 0; entries && strings != UINT64_MAX && i < count; i++) {
        const char *name = entries[i].d_tag == DT_NEEDED
                               ? view_text(image, strings + entries[i].d_un.d_val)
                               : NULL;
        facts->links_tls |= name && is_tls_library(name);
    }
}

static void segments_read(
    const struct image *image, const Elf64_Ehdr *head, struct elf_facts *facts)
{
    for (unsigned i = 0; i < head->e_phnum; i++) {
        const Elf64_Phdr *at = segment(image, head, i);
        if (!at)
            facts->damaged = true;
        else if (at->p_type == PT_INTERP)
            interpreter_read(image, at, facts);
        else if (at->p_type == PT_DYNAMIC)
            dynamic_read(image, head, at, facts);
    }
}

static const Elf64_Shdr *section(const struct image *image, const Elf64_Ehdr *head, unsigned i)
{
    return view(image, head->e_shoff + (uint64_t)i * head->e_shentsize, sizeof(Elf64_Shdr));
}

static void sections_read(
    const struct image *image, const Elf64_Ehdr *head, struct elf_facts *facts)
{
    const Elf64_Shdr *names = section(image, head, head->e_shstrndx);
    for (unsigned i = 0; names && i < head->e_shnum; i++) {
        const Elf64_Shdr *at = section(image, head, i);
        const char *name = at ? view_text(image, names->sh_offset + at->sh_name) : NULL;
        if (name && (strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".note.go.buildid") == 0))
            facts->go = true;
    }
}

/* Texts that each of these libraries carries in its read-only data. */
static const char *inner_tls(const struct image *image)
{
    static const struct mark {
        const char *text, *library;
    } marks[] = {{"OpenSSL 3.", "OpenSSL"}, {"OpenSSL 1.", "OpenSSL"}, {"BoringSSL", "BoringSSL"},
        {"rustls::", "rustls"}, {"mbed TLS", "Mbed TLS"}};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (memmem(image->bytes, image->length, marks[i].text, strlen(marks[i].text)))
            return marks[i].library;
    }
    return NULL;
}

static void elf_read(const struct image *image, struct elf_facts *facts)
{
    const Elf64_Ehdr *head = view(image, 0, sizeof *head);
    facts->kind = FILE_ELF;
    if (!head || head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
        head->e_machine != OWN_MACHINE) {
        facts->foreign = true;
        return;
    }
    segments_read(image, head, facts);
    sections_read(image, head, facts);
    if (!facts->links_tls && !facts->go)
        facts->inner_tls = inner_tls(image);
}

static void image_read(const struct image *image, struct elf_facts *facts)
{
    facts->kind = FILE_OTHER;
    if (image->length > 2 && memcmp(image->bytes, "#!", 2) == 0)
        script_read(image, facts);
    else if (image->length > EI_NIDENT && memcmp(image->bytes, ELFMAG, SELFMAG) == 0)
        elf_read(image, facts);
}

void elf_facts_read(const char *path, struct elf_facts *facts)
{
    struct stat status;
    *facts = (struct elf_facts){.kind = FILE_UNREADABLE};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        facts->error = descriptor < 0 ? errno : EACCES;
    } else if (status.st_size == 0) {
        facts->kind = FILE_OTHER;
    } else {
        struct image image = {.length = (size_t)status.st_size};
        image.bytes = mmap(NULL, image.length, PROT_READ, MAP_PRIVATE, descriptor, 0);
        facts->error = errno;
        if (image.bytes != MAP_FAILED) {
            image_read(&image, facts);
            munmap((void *)image.bytes, image.length);
        }
    }
    if (descriptor >= 0)
        close(descriptor);
}
