/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration from the environment, read once (OpenTelemetry specification 1.60, SDK environment
 * variables and OTLP exporter configuration; BURDOCK_* where no OTEL_* exists). variables.def is
 * the table. Plain data, texts included, so that nothing refers to an environment the host may
 * replace. config_read: before threads exist (constructor) or in the command-line tool. Read-only
 * afterwards.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ours.h"
#include "text.h"

enum {
    CONFIG_TEXT_MAX = 1024,
    CONFIG_LIST_MAX = 4096, /* lists: bearer tokens and what orchestrators add to the resource */
    CONFIG_PROBLEMS_MAX = 16,
    CONFIG_RULES_MAX = 16,
    RELAY_PATH_BYTES = 108 /* what the address of a socket holds */
};

/* From SAMPLER_JAEGER on others are asked: sampler_remote.h. */
enum sampler_kind {
    SAMPLER_ALWAYS_ON,
    SAMPLER_ALWAYS_OFF,
    SAMPLER_RATIO,
    SAMPLER_JAEGER,
    SAMPLER_XRAY
};
enum trust { TRUST_ALL, TRUST_PRIVATE, TRUST_NONE };
enum isolation_mode { ISOLATION_AUTO, ISOLATION_ALWAYS, ISOLATION_OFF };
enum carrier_bits {
    CARRIER_PYTHON = 1,
    CARRIER_NODE = 2,
    CARRIER_LUA = 4,
    CARRIER_JAVA = 8,
    CARRIER_RUBY = 16
};
enum propagator {
#define PROPAGATOR(id, name, extract, inject) PROPAGATOR_AT_##id,
#include "propagators.def"
#undef PROPAGATOR
    PROPAGATOR_COUNT
};
enum propagator_bits {
#define PROPAGATOR(id, name, extract, inject) PROPAGATOR_##id = 1 << PROPAGATOR_AT_##id,
#include "propagators.def"
#undef PROPAGATOR
};

/* What answers to requests tell. */
enum answer_header_bits { ANSWER_TRACERESPONSE = 1, ANSWER_SERVER_TIMING = 2 };

/* What a pod is told about itself by variables that its description fills. */
enum kubernetes_fact {
    KUBERNETES_POD_NAME,
    KUBERNETES_NAMESPACE,
    KUBERNETES_POD_UID,
    KUBERNETES_POD_IP,
    KUBERNETES_NODE,
    KUBERNETES_CONTAINER,
    KUBERNETES_FACT_COUNT
};

enum signal { SIGNAL_TRACES, SIGNAL_METRICS, SIGNAL_LOGS, SIGNAL_COUNT };
enum exemplar_filter { EXEMPLAR_TRACE_BASED, EXEMPLAR_ALWAYS_ON, EXEMPLAR_ALWAYS_OFF };

/* Where finished spans, metrics, or lines of logs go. */
enum destination {
    DESTINATION_STORE,   /* no endpoint: the local store; of metrics and logs: nowhere */
    DESTINATION_OTLP,    /* http/protobuf or http/json to the endpoint */
    DESTINATION_CONSOLE, /* a line for each span, see outlet.h */
    DESTINATION_FILE,    /* OTLP/JSON lines, there too */
    DESTINATION_NONE     /* its OTEL_..._EXPORTER is none; of logs the default */
};

/* Beside its destination: what was brought there, or spooled, is written there as well. */
enum { CONFIG_COPIES_MAX = 3 };
struct config_copy {
    enum destination destination; /* CONSOLE or FILE */
    uint8_t outlet;
};

/* What is said of each signal alone; its texts stand apart in struct config. */
struct config_signal {
    enum destination destination;
    bool gzip;
    bool json;       /* http/json */
    bool grpc;       /* that protocol */
    bool insecure;   /* without TLS, where its endpoint has no scheme */
    bool is_relayed; /* to https://, or by grpc: the relay's to send, see relay_url */
    uint8_t outlet;  /* 1 or 2: the descriptor of console and otlp/stdout; 0: none */
    uint8_t copy_count;
    struct config_copy copies[CONFIG_COPIES_MAX];
    uint32_t timeout_ms; /* of one batch, repetitions included; 0: none */
    const char *path;    /* static; of its requests where the endpoint names none */
};

/* Files by which the relay knows a collector, and is known to it; "": what the machine trusts. */
struct config_tls {
    char certificate[CONFIG_TEXT_MAX], client_certificate[CONFIG_TEXT_MAX];
    char client_key[CONFIG_TEXT_MAX];
};

/* One of BURDOCK_SAMPLER_RULES that can fit in this program. */
struct config_rule {
    uint64_t threshold; /* probability.h */
    bool is_ratio;      /* else whatever the caller says */
    struct config_pattern {
        uint16_t offset, length; /* in sampler_rules; length 0: any */
    } method, path;
};

struct config_problem {
    const char *variable; /* static; "" for a finding that no single variable causes */
    const char *why;      /* static, a sentence without the value given (it may be a secret) */
};

struct config {
    bool disabled;    /* BURDOCK_DISABLED: inert */
    bool crash_guard; /* BURDOCK_CRASH_GUARD: see guard.h */
    bool crash_guard_given;
    bool sdk_disabled; /* OTEL_SDK_DISABLED: no spans, incoming context is passed on unchanged */
    char service_name[256];
    uint32_t propagators; /* enum propagator_bits */
    bool w3c;             /* tracecontext with baggage or without, and nothing else */
    bool w3c_of_all;      /* and everybody is believed */
    uint8_t propagator_order[PROPAGATOR_COUNT]; /* enum propagator, as given; see propagators.h */
    uint32_t propagator_count;
    enum trust trust;              /* BURDOCK_TRUST */
    enum isolation_mode isolation; /* BURDOCK_ISOLATION: of event loops, isolation.h */
    bool follow;             /* BURDOCK_FOLLOW: programs started get LD_PRELOAD and TRACEPARENT */
    uint32_t carriers;       /* BURDOCK_CARRIERS: enum carrier_bits */
    uint32_t answer_headers; /* BURDOCK_RESPONSE_HEADERS: enum answer_header_bits */
    bool redis_streams;      /* BURDOCK_REDIS_STREAMS: an XADD gets the context as fields */
    bool redis_envelope;     /* BURDOCK_REDIS_ENVELOPE: so do JSON objects in lists and channels */
    bool inserts_inbound;    /* BURDOCK_INBOUND: requests read get a traceparent; see passing.h */
    bool inbound_given;
    bool comments_statements; /* BURDOCK_SQLCOMMENTER: what is sent to databases is edited */
    bool random_flag_off;     /* BURDOCK_RANDOM_FLAG_OFF: do not set it on traces that we begin, for
                               * receivers that do not understand flags 03 */
    char known_methods[256];  /* OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS: A,B,C; "": the default */
    enum sampler_kind sampler;
    bool sampler_parent_based;
    double sampler_ratio;       /* also the one until others have answered */
    uint32_t sampler_poll_ms;   /* how often others are asked */
    uint64_t sampler_threshold; /* of what begins here: probability.h */
    uint64_t span_cost_ns; /* BURDOCK_SPANS_PER_SECOND, as the time that one takes; 0: no limit */
    bool samples_plainly;  /* a caller's word counts, and what begins here is kept */
    struct config_signal signals[SIGNAL_COUNT];
    bool records;                   /* spans or metrics are wanted */
    bool measures;                  /* metrics are wanted */
    bool records_logs;              /* and lines of logs, as records of their own */
    bool scraped;                   /* OTEL_METRICS_EXPORTER has prometheus: see metrics_file.h */
    bool keeps, keeps_errors;       /* BURDOCK_KEEP: of what is not sampled; see tail.h */
    uint64_t keeps_slow_ns;         /* UINT64_MAX: however slow */
    bool records_unsampled;         /* for one of these */
    bool delta;                     /* temporality of what only grows; else cumulative */
    bool exponential;               /* histograms have exponential buckets */
    enum exemplar_filter exemplars; /* OTEL_METRICS_EXEMPLAR_FILTER */
    uint8_t outlet_descriptor;      /* that of all signals that have one; 0: none */
    uint32_t metric_interval_ms;    /* OTEL_METRIC_EXPORT_INTERVAL */
    uint32_t schedule_delay_ms;     /* OTEL_BSP_SCHEDULE_DELAY; 5000, for the local store 1000 */
    uint32_t queue_spans_max;       /* OTEL_BSP_MAX_QUEUE_SIZE */
    uint32_t batch_spans_max;       /* OTEL_BSP_MAX_EXPORT_BATCH_SIZE */
    bool batch_may_grow;            /* that is not set, and spans go to a collector */
    uint32_t batch_logs_max;        /* OTEL_BLRP_MAX_EXPORT_BATCH_SIZE */
    uint32_t exit_timeout_ms;       /* BURDOCK_EXIT_TIMEOUT: bound of the flush at exit */
    uint64_t stack_min_ns;          /* BURDOCK_STACKTRACE_MIN_DURATION; UINT64_MAX: no stacks */
    uint32_t attribute_value_limit; /* characters; UINT32_MAX: none */
    uint32_t attribute_count_limit;
    uint32_t link_count_limit;
    uint64_t store_bytes_max;              /* BURDOCK_STORE_MAX */
    bool spool_off;                        /* BURDOCK_SPOOL: see spool.h */
    uint64_t spool_bytes_max;              /* BURDOCK_SPOOL_MAX */
    char run_directory[CONFIG_TEXT_MAX];   /* BURDOCK_DIR, default /dev/shm: ring files */
    char store_directory[CONFIG_TEXT_MAX]; /* BURDOCK_STORE, XDG_STATE_HOME, HOME; "" if none */
    char run_id[17];                       /* BURDOCK_RUN, set by `burdock run`; "" if none */
    char traceparent[128];                 /* TRACEPARENT, TRACESTATE, BAGGAGE: the process's */
    char tracestate[512];                  /* own parent */
    char baggage[1024];
    bool joins_logs;           /* BURDOCK_LOGS: lines get the ids of their request; see logs.h */
    bool joins_syslog;         /* BURDOCK_LOGS names syslog */
    uint32_t logs_descriptors; /* bits of those that BURDOCK_LOGS names by number */
    bool logs_several;         /* BURDOCK_LOGS_SEVERAL: writes of several lines are joined */
    bool in_kubernetes;        /* KUBERNETES_SERVICE_HOST is set: only then the facts count */
    uint32_t problem_count;    /* all of them; only the first CONFIG_PROBLEMS_MAX are kept */
    /* Last what is mostly empty: its pages are then never touched. */
    char kubernetes[KUBERNETES_FACT_COUNT][256];      /* POD_NAME and its like */
    char outlet_paths[SIGNAL_COUNT][CONFIG_TEXT_MAX]; /* the files of otlp_file */
    char ecs_metadata[256];                           /* ECS_CONTAINER_METADATA_URI_V4 */
    uint32_t rule_count;
    struct config_rule rules[CONFIG_RULES_MAX];
    char sampler_rules[CONFIG_TEXT_MAX];
    char sampler_url[CONFIG_TEXT_MAX];           /* who is asked, with its path; "": nobody */
    char resource_attributes[CONFIG_LIST_MAX];   /* as given: k=v,k=v percent-encoded; validated */
    char urls[SIGNAL_COUNT][CONFIG_TEXT_MAX];    /* complete, http:// or unix:// */
    char headers[SIGNAL_COUNT][CONFIG_LIST_MAX]; /* ready to send: "Name: value\r\n"... */
    struct config_problem problems[CONFIG_PROBLEMS_MAX]; /* settings ignored, for doctor */
    char logs[CONFIG_TEXT_MAX];                          /* BURDOCK_LOGS, as given */
    char logs_suffix[128];                               /* BURDOCK_LOGS_SUFFIX or its default */
    char spool_directory[CONFIG_TEXT_MAX]; /* BURDOCK_SPOOL; "": `spool` in the store's */
    bool relay_off;                        /* BURDOCK_RELAY, which may also name the socket */
    char relay_given[RELAY_PATH_BYTES];
    char relay_url[RELAY_PATH_BYTES + 8]; /* unix://..., if a signal is relayed */
    struct config_tls tls[SIGNAL_COUNT];
};

OURS struct config config;

/* A signal's name, as the relay tells it and the doctor says it. */
static inline const char *signal_name(enum signal signal)
{
    return signal == SIGNAL_TRACES ? "traces" : signal == SIGNAL_METRICS ? "metrics" : "logs";
}

/* Is anything of the signal to leave the process? Of metrics and logs; the local store has none. */
static inline bool config_sends(const struct config *config, enum signal signal)
{
    enum destination destination = config->signals[signal].destination;
    return destination != DESTINATION_NONE && destination != DESTINATION_STORE;
}

/* Where the relay of these settings listens for a user's processes. False: the name is too long. */
bool config_relay_path(const struct config *config, uint32_t user, char out[RELAY_PATH_BYTES]);

/* Does any of a rule's patterns fit, which are separated by bars? */
bool config_pattern_fits(struct slice patterns, struct slice text);

/* Fills *config from envp. argv and executable serve the fallback of the service name
 * (the script for known interpreters, else the executable). Allocates nothing. */
void config_read(
    struct config *config, char *const *envp, char *const *argv, const char *executable);
/* The same where *config is all zero as it was loaded: pages of it that hold nothing stay
 * untouched, which every start of a program would pay for. */
void config_read_first(
    struct config *config, char *const *envp, char *const *argv, const char *executable);
