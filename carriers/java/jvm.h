/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few functions of the Java Native Interface and of its Tool Interface that are used, by their
 * places in the tables that these specify. Arguments are as there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jni;
struct jvmti;
struct jvm;

enum { JNI_VERSION = 0x00010006, JVMTI_VERSION = 0x30010200 };

struct jni_native {
    const char *name, *descriptor;
    void *function;
};

struct jvm_attach {
    int32_t version;
    const char *name;
    void *group;
};

int jvm_attach_as_daemon(struct jvm *, struct jni **env, const struct jvm_attach *);
int jvm_detach(struct jvm *);
int jvm_tools(struct jvm *, struct jvmti **env);

void *jni_find_class(struct jni *, const char *name);
void *jni_define_class(struct jni *, const char *name, const uint8_t *bytes, size_t length);
int jni_register(struct jni *, void *class, const struct jni_native *, int count);
void *jni_keep(struct jni *, void *object); /* for ever; NULL: no memory */
bool jni_is_instance(struct jni *, void *object, void *class);
/* As this loader finds it; NULL: it does not, an exception is there. */
void *jni_class_of_loader(struct jni *, const char *name, void *loader);
void jni_clear_exception(struct jni *);
/* A field of an object; none: NULL, -1, and nothing is thrown. */
void *jni_object_in(struct jni *, void *object, const char *name, const char *type);
int64_t jni_number_in(struct jni *, void *object, const char *name, bool is_long); /* or an int */
void jni_forget(struct jni *, void *local);

enum jvmti_event { JVMTI_THREAD_START = 52, JVMTI_CLASS_FILE_LOAD = 54 };

/* As many of the specification's callbacks as are used, in its order. */
struct jvmti_callbacks {
    void *vm_init, *vm_death;
    void (*thread_start)(struct jvmti *, struct jni *, void *thread);
    void *thread_end;
    void (*class_file_load)(struct jvmti *, struct jni *, void *class, void *loader,
        const char *name, void *domain, int32_t length, const uint8_t *bytes, int32_t *new_length,
        uint8_t **new_bytes);
};

/* 0: done. */
int jvmti_may_retransform(struct jvmti *);
int jvmti_set_callbacks(struct jvmti *, const struct jvmti_callbacks *);
int jvmti_switch(struct jvmti *, enum jvmti_event, int is_on);
int jvmti_retransform(struct jvmti *, int count, void *const *classes);
int jvmti_loaded_classes(struct jvmti *, int32_t *count, void ***classes);
int jvmti_signature(struct jvmti *, void *class, char **signature);
int jvmti_loader(struct jvmti *, void *class, void **loader);
void jvmti_free(struct jvmti *, void *memory);
int jvmti_allocate(struct jvmti *, int64_t bytes, uint8_t **memory);
void jvmti_dispose(struct jvmti *);
int jvmti_current_thread(struct jvmti *, void **thread);
