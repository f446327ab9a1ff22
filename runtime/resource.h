/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of this process, its host, its container and its orchestrator, as facts for its
 * Resource (semantic conventions 1.44.0, resource attributes). What cannot be known is left out: a
 * wrong container is worse than none.
 *
 * | function        | who                                           | may wait                   |
 * | resource_begin  | exporter thread; else a host thread, once     | no: three system calls     |
 * | resource_finish | exporter thread                               | one second, for ECS only   |
 * The rest is pure.
 */
#pragma once

#include "config.h"
#include "otlp.h"
#include "text.h"

/* Adds a fact. "", what has no room, and a key that is there already are left out. */
void resource_add(struct otlp_process *process, const char *key, struct slice text);
void resource_add_text(struct otlp_process *process, const char *key, const char *text);
void resource_add_number(struct otlp_process *process, const char *key, int64_t number);

/* service.instance.id, new with each call; pid, executable, host. */
void resource_begin(struct otlp_process *process);

/* What stands in files, and what the orchestrator says. *stop: see otlp_http_post. */
void resource_finish(
    struct otlp_process *process, const struct config *config, const uint64_t *stop);

/* resource_ecs.c: what the agent of Amazon ECS answers at config->ecs_metadata. */
void resource_ecs(struct otlp_process *process, const struct config *config, const uint64_t *stop);
/* The same from its answers about the container and about the task. */
void resource_ecs_container(struct otlp_process *process, struct slice json);
void resource_ecs_task(struct otlp_process *process, struct slice json);

/* The container's id in a line of /proc/self/cgroup or of mountinfo; length 0: none. Only where a
 * runtime's way to write it is recognised. */
struct slice resource_container_of_cgroup(struct slice line);
struct slice resource_container_of_mount(struct slice line);
