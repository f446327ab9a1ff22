/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the protocols that carry CGI's variables (RFC 3875) share: which variables matter, the head
 * of the answer, the span. A request's variables are those of an HTTP request that somebody else
 * has read.
 *
 * A value longer than VARIABLE_BYTES_MAX is read over. Nothing is stored of names: a bit stands for
 * each that the name may still be; but of those that are open what anybody may choose is, up to
 * OPEN_NAME_MAX bytes. Of such a name a `_` is told as `-`, and letters as small ones.
 */
#pragma once

#include "context_names.h"

enum { VARIABLE_BYTES_MAX = 64 * 1024, OPEN_NAME_MAX = 17 };

/* A variable that is read by those who ask for it, and never told. */
enum { CGI_CONTENT_LENGTH = FIELD_COUNT + 1 };

/* A name and its value, being read. */
struct cgi_pair {
    uint32_t left;    /* of the name, or of the value, to come */
    uint32_t value;   /* length of the value */
    uint64_t matched; /* a bit for each variable of the table that the name may still be */
    uint8_t at;       /* bytes of the name read, while it may still be one of those */
    uint8_t row;      /* of context_rows, if the field is one that is named */
    uint8_t field;    /* enum field of the value, or CGI_CONTENT_LENGTH; FIELD_COUNT: nobody's */
    uint8_t open[OPEN_NAME_MAX]; /* what was chosen of a name that is open */
};

/* left and value are set. True: the name is read (see below). */
bool cgi_name_begin(struct cgi_pair *);
/* Takes bytes of the name, at most `left`. True: that was all of it; field is known, and left is
 * that of the value. */
bool cgi_name_read(struct cgi_pair *, const uint8_t *name, size_t length);

/* The same of a name whose length is known at its end. */
void cgi_name_open(struct cgi_pair *);
void cgi_name_more(struct cgi_pair *, const uint8_t *name, size_t length);
void cgi_name_close(struct cgi_pair *);

/* Headers as variables, RFC 3875, 4.1.18: HTTP_ and the name in capitals. */
uint32_t cgi_name_bytes(struct fact header);
char *cgi_put_name(char *out, struct fact header);

/* The head of an answer: RFC 3875, 6.2, lines ending in LF or CR LF; it may begin with a status
 * line of HTTP. Starts as zeros. */
struct cgi_head {
    uint16_t status; /* 0: not said */
    uint8_t stage;
    uint8_t at;
    uint8_t matched;
    uint8_t reason; /* of mod_wsgi's own, one more than its row; 0: none */
    bool redirects;
    bool is_complete;
};

/* Takes bytes until the head is complete; answers how many. */
size_t cgi_head_read(struct cgi_head *, const uint8_t *data, size_t length);
/* RFC 3875, 6.2.1 and 6.2.3: 200 if nothing is said, 302 with a Location. */
uint16_t cgi_head_status(const struct cgi_head *);
/* By 200 and a reason of its own mod_wsgi's daemon says something else. */
uint16_t cgi_head_meaning(const struct cgi_head *);

/* Of a field whose name is told before its value: context_tell_name. */
void cgi_tell_name(const struct cgi_pair *, struct event event, struct sink *);

void cgi_describe(const struct facts *, struct describer *);
