/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read of Java's objects, for natives: of classes of the JDK's and of libraries that are
 * known by name, none of the program's own. What throws is as if it gave nothing, and no exception
 * is left. References are local: they end with the native, or with a frame.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jni;

void *object_class(struct jni *, void *object);
/* By its name, as java/lang/String; by how that begins. */
bool object_is_named(void *class, const char *name);
bool object_is_beneath(void *class, const char *beginning);
/* As the loader of `beside` finds it; NULL: it does not. */
void *object_class_beside(struct jni *, void *beside, const char *dotted_name);
bool object_is_same(struct jni *, void *object, void *other);

/* NULL: there is none. */
void *object_field_id(struct jni *, void *class, const char *name, const char *descriptor);
void *object_method_id(struct jni *, void *class, const char *name, const char *descriptor);

void *object_field(struct jni *, void *object, void *field);
int64_t object_int(struct jni *, void *object, void *field);
int64_t object_long(struct jni *, void *object, void *field);
/* index: its only argument, if it has one. NULL: nothing, or it has thrown. */
void *object_call(struct jni *, void *object, void *method, int32_t index);
int32_t object_call_int(struct jni *, void *object, void *method);

int32_t object_array_length(struct jni *, void *array);
void *object_array_element(struct jni *, void *array, int32_t index);

/* The bytes of a String, cut off where there is no more room, or of an array of them; 0: none, or
 * it is NULL. */
size_t object_text(struct jni *, void *string, char *text, size_t room);
size_t object_bytes(struct jni *, void *array, char *bytes, size_t room);

/* Refers to it as long as others do. */
void *object_weak(struct jni *, void *object);
/* A local reference to what such a one refers to; NULL: that is gone. */
void *object_local(struct jni *, void *weak);

/* False: no memory. */
bool object_frame(struct jni *);
void object_frame_end(struct jni *);
