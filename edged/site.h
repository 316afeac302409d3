/* site.h - the web pages: files of one folder, read into memory at the start and served from there.
 *
 * Each file has one or two forms, as it is and (where that is smaller) gzipped, each with its answers ready made.
 * Pages run only scripts and styles that are files of the site, and make none out of text; they tell no other site their address (it may
 * hold a token), load from no host but their own and those of `sources`, and are shown in frames of those alone that frame_ancestors
 * names. After site_open() nothing changes: any thread reads. */
#ifndef EDGED_SITE_H
#define EDGED_SITE_H

#include <stddef.h>

#include "edged/wire/answer.h"

#define SITE_FILES_MAX 64
#define SITE_FILE_MAX_BYTES (8u << 20)
#define SITE_TOTAL_MAX_BYTES (32u << 20)
#define SITE_ETAG_MAX 32

struct site_form {
        char etag[SITE_ETAG_MAX];
        struct answer *whole, *same; /* 200, 304; NULL: there is no such form */
        void *bytes;
};

struct site_file {
        char name[72];
        const char *content_type;
        struct site_form plain, gzipped;
};

struct site;

/* root empty: the first folder that there is of ../share/freshet/web, ../build/web, ../../web beside the program and
 * build/web here. Without one the site is empty and a warning says so. Files that are too big or too many are left out, each
 * with a warning. frame_ancestors: who may show the pages in a frame, as CSP has it; sources: where else players on them may load from,
 * each with a blank before it. Never fails. */
struct site *site_open(const char *root, const char *frame_ancestors, const char *sources);
void site_close(struct site *s); /* after wire_close() */
const struct site_file *site_find(const struct site *s, const char *name); /* NULL: none */
const struct site_form *site_form(const struct site_file *f, const char *accept_encoding);

#endif
