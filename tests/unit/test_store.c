/* SPDX-License-Identifier: Apache-2.0 */
/* The local store: frames, rotation, the cap, and everything that can stand in the way. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crc32c.h"
#include "store.h"
#include "tap.h"

static char root[] = "/tmp/store-test-XXXXXX";
static struct config settings;
static uint8_t payload[3 * 1024 * 1024];

static void use_directory(const char *name)
{
    memset(&settings, 0, sizeof(settings));
    snprintf(settings.store_directory, sizeof(settings.store_directory), "%s/%s", root, name);
    settings.store_bytes_max = 256u << 20;
    strcpy(settings.run_id, "r1");
}

static unsigned count_files(uint64_t *bytes)
{
    unsigned files = 0;
    DIR *directory = opendir(settings.store_directory);
    *bytes = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat status;
        if (strstr(entry->d_name, ".otlp") == NULL)
            continue;
        fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW);
        *bytes += (uint64_t)status.st_size;
        files++;
    }
    if (directory)
        closedir(directory);
    return files;
}

static size_t read_whole(const char *path, uint8_t *out, size_t room)
{
    int descriptor = open(path, O_RDONLY);
    ssize_t got = descriptor < 0 ? 0 : read(descriptor, out, room);
    close(descriptor);
    return got > 0 ? (size_t)got : 0;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int i = 0; i < 256; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

static void test_crc(void)
{
    uint8_t bytes[300];
    unsigned equal = 0, cases = 0;
    CHECK(crc32c((const uint8_t *)"123456789", 9) == 0xE3069283u, "check value of CRC-32C");
    CHECK(crc32c_portable((const uint8_t *)"123456789", 9) == 0xE3069283u, "the same by table");
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + i / 7);
    for (size_t from = 0; from < 9; from++)
        for (size_t to = from; to <= sizeof(bytes); to++, cases++)
            equal += crc32c(bytes + from, to - from) == crc32c_portable(bytes + from, to - from);
    CHECK(equal == cases, "instruction and table agree at every length and alignment");
}

static void test_append(void)
{
    struct store_writer writer;
    static uint8_t file[4096];
    const uint8_t *found;
    size_t length, offset = 0, at = 0;
    uint32_t torn = 0;
    int error;
    struct stat status;
    use_directory("a/b/c");
    store_writer_init(&writer, &settings);
    unsigned before = open_descriptors();
    CHECK(store_append(&writer, (const uint8_t *)"first", 5, &error) && error == 0,
        "missing directories are made");
    CHECK(store_append(&writer, (const uint8_t *)"second!", 7, &error), "a second frame");
    CHECK(open_descriptors() == before, "no descriptor stays open");
    CHECK(stat(writer.path, &status) == 0 && (status.st_mode & 0777) == 0600, "files are 0600");
    CHECK(stat(settings.store_directory, &status) == 0 &&
              (status.st_mode & 07777) == (geteuid() == 0 ? 01777u : 0700u),
        "the mode of the directory");
    const char *name = strrchr(writer.path, '/') + 1;
    CHECK(strspn(name, "0123456789abcdef") == 16 && strstr(name, "-r1.otlp"), "the name: %s", name);

    size_t bytes = read_whole(writer.path, file, sizeof(file));
    CHECK(bytes == 2 * STORE_HEADER_BYTES + 12 && writer.written == bytes, "the size");
    bool first = store_next(file, bytes, &offset, &found, &length, &torn);
    CHECK(first && length == 5 && memcmp(found, "first", 5) == 0, "the first is read");
    bool second = store_next(file, bytes, &offset, &found, &length, &torn);
    CHECK(second && length == 7 && memcmp(found, "second!", 7) == 0, "the second is read");
    CHECK(!store_next(file, bytes, &offset, &found, &length, &torn) && torn == 0, "then the end");

    unsigned wrong = 0;
    for (size_t damaged = 0; damaged < STORE_HEADER_BYTES + 5; damaged++) {
        file[damaged] ^= 0x55;
        offset = 0, torn = 0;
        bool ok = store_next(file, bytes, &offset, &found, &length, &torn) && length == 7 &&
                  torn == 1 && !store_next(file, bytes, &offset, &found, &length, &torn);
        wrong += !ok;
        file[damaged] ^= 0x55;
    }
    CHECK(wrong == 0, "damage at any byte of a frame loses that frame only");
    for (at = 0; at < bytes; at++) {
        uint8_t *cut = malloc(at + 1);
        memcpy(cut, file, at);
        offset = 0, torn = 0;
        unsigned frames = 0;
        while (store_next(cut, at, &offset, &found, &length, &torn))
            frames++;
        wrong += frames != (at >= 17) || torn != (at != 0 && at != 17);
        free(cut);
    }
    CHECK(wrong == 0, "a file cut at any length gives its whole frames");
}

static void test_fuzz(void)
{
    uint64_t seed = 88172645463325252u;
    unsigned frames = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *file = malloc(200);
        const uint8_t *found;
        size_t length, offset = 0;
        uint32_t torn = 0;
        for (size_t j = 0; j < 200; j++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            file[j] = seed % 7 ? (uint8_t) "BRDK"[j % 4] : (uint8_t)(seed >> 20);
        }
        while (store_next(file, 200, &offset, &found, &length, &torn))
            frames += found >= file && found + length <= file + 200;
        free(file);
    }
    CHECK(frames < 10, "noise gives no frames (%u)", frames);
}

static void test_rotation(void)
{
    struct store_writer writer;
    uint64_t bytes;
    int error;
    unsigned failed = 0;
    use_directory("rotate");
    store_writer_init(&writer, &settings);
    for (unsigned i = 0; i < 12; i++)
        failed += !store_append(&writer, payload, sizeof(payload), &error);
    CHECK(failed == 0 && count_files(&bytes) == 3, "files end before STORE_FILE_BYTES_MAX");

    use_directory("cap");
    settings.store_bytes_max = 1000 * 1000;
    store_writer_init(&writer, &settings);
    uint64_t most = 0;
    for (unsigned i = 0; i < 200; i++) {
        failed += !store_append(&writer, payload, 50 * 1000, &error);
        count_files(&bytes);
        most = bytes > most ? bytes : most;
    }
    CHECK(failed == 0 && most <= settings.store_bytes_max && most > 700 * 1000,
        "the cap holds and is used (%llu)", (unsigned long long)most);
    CHECK(!store_append(&writer, payload, 1000 * 1000 + 1, &error) && error == -EDQUOT,
        "a request larger than the cap is refused");

    settings.store_bytes_max = 100 * 1000;
    for (unsigned i = 0; i < 300; i++) { /* one file each, more than one look holds */
        store_writer_init(&writer, &settings);
        failed += !store_append(&writer, payload, 1000, &error);
    }
    unsigned files = count_files(&bytes);
    CHECK(failed == 0 && bytes <= settings.store_bytes_max && files > 60,
        "many small files are pruned, oldest first (%u left)", files);
    CHECK(access(writer.path, F_OK) == 0, "the newest is kept");
    char other[1100];
    snprintf(other, sizeof(other), "%s/notes.txt", settings.store_directory);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    settings.store_bytes_max = 3000;
    store_writer_init(&writer, &settings);
    store_append(&writer, payload, 700, &error);
    CHECK(access(other, F_OK) == 0, "files of others are let be");
}

static void test_identity(void)
{
    struct store_writer writer;
    char first[sizeof(writer.path)], victim[1100];
    struct stat status;
    uint64_t bytes;
    int error;
    use_directory("identity");
    store_writer_init(&writer, &settings);
    store_append(&writer, payload, 100, &error);
    strcpy(first, writer.path);

    unlink(first);
    CHECK(store_append(&writer, payload, 100, &error) && strcmp(first, writer.path) != 0,
        "a removed file is not missed: a new one begins");
    strcpy(first, writer.path);
    truncate(first, 50);
    CHECK(store_append(&writer, payload, 100, &error) && strcmp(first, writer.path) != 0,
        "a changed file is left alone");
    snprintf(victim, sizeof(victim), "%s/victim", root);
    close(open(victim, O_CREAT | O_WRONLY, 0600));
    unlink(writer.path);
    CHECK(symlink(victim, writer.path) == 0 && store_append(&writer, payload, 100, &error) &&
              stat(victim, &status) == 0 && status.st_size == 0,
        "a symbolic link is not followed");

    strcpy(first, writer.path);
    pid_t child = fork();
    if (child == 0)
        _exit(
            store_append(&writer, payload, 100, &error) && strcmp(first, writer.path) != 0 ? 0 : 1);
    int result = 1;
    waitpid(child, &result, 0);
    CHECK(result == 0, "a forked child begins its own file");
    CHECK(store_append(&writer, payload, 100, &error) && strcmp(first, writer.path) == 0,
        "the parent goes on with its own");
    count_files(&bytes);
}

static void test_refusals(void)
{
    struct store_writer writer;
    uint64_t bytes;
    int error;
    use_directory("refuse");
    store_writer_init(&writer, &settings);
    CHECK(!store_append(&writer, payload, 0, &error) && error == -EINVAL, "nothing to store");
    CHECK(!store_append(&writer, payload, STORE_FRAME_BYTES_MAX + 1ul, &error) && error == -EINVAL,
        "too long");
    settings.store_directory[0] = 0;
    CHECK(!store_append(&writer, payload, 10, &error) && error == -ENOENT, "no directory");
    strcpy(settings.store_directory, "/proc/nothing/here");
    CHECK(!store_append(&writer, payload, 10, &error) && error < 0, "one that cannot be made (%d)",
        error);

    use_directory("refuse");
    store_append(&writer, payload, 10, &error);
    unlink(writer.path);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {500, 500};
        setrlimit(RLIMIT_FSIZE, &limit);
        store_writer_init(&writer, &settings);
        bool small = store_append(&writer, payload, 400, &error);
        bool large = store_append(&writer, payload, 400, &error);
        _exit(small && !large && error == -EFBIG ? 0 : 1);
    }
    int result;
    waitpid(child, &result, 0);
    CHECK(result == 0, "a limit of the file size gives an error and no signal (%d)", result);
    CHECK(count_files(&bytes) == 1 && bytes == 412, "and nothing half done");

    child = fork();
    if (child == 0) {
        struct rlimit limit = {100, 100};
        setrlimit(RLIMIT_FSIZE, &limit);
        store_writer_init(&writer, &settings);
        _exit(
            !store_append(&writer, payload, 400, &error) && access(writer.path, F_OK) != 0 ? 0 : 1);
    }
    waitpid(child, &result, 0);
    CHECK(result == 0, "a file begun for nothing is removed");
    if (geteuid() != 0)
        return;
    use_directory("closed");
    mkdir(settings.store_directory, 0700);
    child = fork();
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        store_writer_init(&writer, &settings);
        _exit(!store_append(&writer, payload, 400, &error) && error == -EACCES ? 0 : 1);
    }
    waitpid(child, &result, 0);
    CHECK(result == 0, "privileges dropped before a closed directory: an error");
}

enum { NO_MOUNT = 77 };

/* In a file system of 64 KiB of its own: what is refused leaves whole frames behind. */
static int fill_disk(void)
{
    struct store_writer writer;
    static uint8_t file[128 * 1024];
    const uint8_t *found;
    size_t length, offset = 0;
    uint32_t torn = 0;
    unsigned stored = 0, frames = 0;
    int error = 0;
    mkdir(settings.store_directory, 0700);
    if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", settings.store_directory, "tmpfs", 0, "size=64k"))
        return NO_MOUNT;
    store_writer_init(&writer, &settings);
    while (stored < 100 && store_append(&writer, payload, 3000, &error))
        stored++;
    size_t bytes = read_whole(writer.path, file, sizeof(file));
    while (store_next(file, bytes, &offset, &found, &length, &torn))
        frames++;
    if (error != -ENOSPC || stored < 10 || frames != stored || torn != 0)
        return 1;
    if (store_append(&writer, payload, 3000, &error) || writer.damaged)
        return 2;
    umount(settings.store_directory);
    if (mount("none", settings.store_directory, "tmpfs", MS_RDONLY, "size=64k"))
        return NO_MOUNT;
    return !store_append(&writer, payload, 10, &error) && error == -EROFS ? 0 : 3;
}

static void test_disk(void)
{
    int result;
    use_directory("disk");
    pid_t child = fork();
    if (child == 0)
        _exit(fill_disk());
    waitpid(child, &result, 0);
    if (WIFEXITED(result) && WEXITSTATUS(result) == NO_MOUNT)
        CHECK(true, "a full and a read-only disk # SKIP mounting is not permitted here");
    else
        CHECK(result == 0, "a full and a read-only disk: refused, nothing half done (%d)", result);
}

int main(void)
{
    if (mkdtemp(root) == NULL)
        return 99;
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 2654435761u >> 13);
    test_crc();
    test_append();
    test_fuzz();
    test_rotation();
    test_identity();
    test_refusals();
    test_disk();
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return tap_done() | (system(command) != 0);
}
