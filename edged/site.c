#include "edged/site.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "edged/gzip.h"
#include "edged/respond.h"

/* No inline script or style, and no text that becomes one (trusted types). blob: is what Media Source Extensions play from. */
#define CONTENT_POLICY                                                                                                 \
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "           \
        "connect-src 'self'%s; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'; " \
        "frame-ancestors %s"
/* Of what is no page, should somebody open it as one: a picture may hold scripts. */
#define FILE_POLICY "default-src 'none'; style-src 'unsafe-inline'; sandbox"
#define PERMISSIONS_POLICY                                                                                             \
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), " \
        "midi=(), payment=(), usb=()"

struct site {
        char *content_policy;
        size_t count, bytes;
        struct site_file files[SITE_FILES_MAX];
};

static const struct {
        const char *ending, *type;
        bool compress;
} types[] = {
        {".html", "text/html; charset=utf-8", true},
        {".css", "text/css; charset=utf-8", true},
        {".js", "text/javascript; charset=utf-8", true},
        {".mjs", "text/javascript; charset=utf-8", true},
        {".map", "application/json", true},
        {".json", "application/json", true},
        {".svg", "image/svg+xml", true},
        {".txt", "text/plain; charset=utf-8", true},
        {".png", "image/png", false},
        {".jpg", "image/jpeg", false},
        {".webp", "image/webp", false},
        {".ico", "image/x-icon", false},
        {".woff2", "font/woff2", false},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static size_t type_of(const char *name)
{
        const char *dot = strrchr(name, '.');
        size_t i = 0;
        while (i < TYPES && (!dot || strcmp(types[i].ending, dot) != 0))
                i++;
        return i;
}

/* ---- forms ---------------------------------------------------------------------------------------------------- */

static void add_headers(struct answer *r, const struct site *s, const struct site_file *f, const char *etag, bool gzip)
{
        bool page = strncmp(f->content_type, "text/html", 9) == 0;
        answer_add(r, "Content-Type", f->content_type);
        answer_add(r, "Cache-Control", page ? "max-age=10" : "max-age=60");
        answer_add(r, "ETag", etag);
        answer_add(r, "Vary", "Accept-Encoding");
        answer_add(r, "X-Content-Type-Options", "nosniff");
        answer_add(r, "Referrer-Policy", "no-referrer");
        answer_add(r, "Content-Security-Policy", page ? s->content_policy : FILE_POLICY);
        if (page)
                answer_add(r, "Permissions-Policy", PERMISSIONS_POLICY);
        if (gzip)
                answer_add(r, "Content-Encoding", "gzip");
        respond_common(r, RESULT_LOCAL);
}

/* Takes bytes (malloc). */
static void make_form(struct site_form *form, const struct site *s, const struct site_file *f, void *bytes, size_t len, bool gzip)
{
        form->bytes = bytes;
        snprintf(form->etag, sizeof(form->etag), "\"%016llx%s\"", (unsigned long long)XXH3_64bits(bytes, len),
                 gzip ? "-gz" : "");
        form->whole = answer_lasting(200, bytes, len);
        form->same = answer_new(304, NULL, 0, 0);
        add_headers(form->whole, s, f, form->etag, gzip);
        add_headers(form->same, s, f, form->etag, gzip);
}

static void close_form(struct site_form *form)
{
        if (!form->whole)
                return;
        answer_unref(&form->whole);
        answer_unref(&form->same);
        free(form->bytes);
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

static void *read_whole(const char *path, size_t len)
{
        FILE *in = fopen(path, "rb");
        void *bytes = mem_alloc(len + 1);
        bool ok = in && fread(bytes, 1, len, in) == len;
        if (in)
                fclose(in);
        if (ok)
                return bytes;
        free(bytes);
        return NULL;
}

static const char *load(struct site *s, const char *root, const char *name)
{
        char path[PATH_MAX];
        struct stat st;
        size_t type = type_of(name);
        if (type == TYPES || strlen(name) >= sizeof(s->files[0].name))
                return "not a kind of file that is served";
        if (snprintf(path, sizeof(path), "%s/%s", root, name) >= (int)sizeof(path) || stat(path, &st) != 0)
                return "cannot be read";
        if (!S_ISREG(st.st_mode))
                return "not a file";
        if ((uint64_t)st.st_size > SITE_FILE_MAX_BYTES || s->bytes + (size_t)st.st_size > SITE_TOTAL_MAX_BYTES)
                return "too big";
        if (s->count == SITE_FILES_MAX)
                return "too many files";
        size_t len = (size_t)st.st_size, small = 0;
        void *bytes = read_whole(path, len);
        if (!bytes)
                return "cannot be read";
        struct site_file *f = &s->files[s->count++];
        snprintf(f->name, sizeof(f->name), "%s", name);
        f->content_type = types[type].type;
        void *zipped = types[type].compress ? gzip_make(bytes, len, GZIP_BEST, &small) : NULL;
        make_form(&f->plain, s, f, bytes, len, false);
        if (zipped)
                make_form(&f->gzipped, s, f, zipped, small, true);
        s->bytes += len + small;
        return NULL;
}

static DIR *open_root(const char *root, char path[PATH_MAX])
{
        static const char *const beside[] = {"/../share/freshet/web", "/../build/web", "/../../web"};
        DIR *dir;
        snprintf(path, PATH_MAX, "%s", root);
        if (*root)
                return opendir(path);
        char exe[PATH_MAX - 64];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        exe[n > 0 ? n : 0] = 0;
        if (strrchr(exe, '/'))
                *strrchr(exe, '/') = 0;
        for (size_t i = 0; n > 0 && i < sizeof(beside) / sizeof(beside[0]); i++) {
                snprintf(path, PATH_MAX, "%s%s", exe, beside[i]);
                if ((dir = opendir(path)))
                        return dir;
        }
        snprintf(path, PATH_MAX, "build/web");
        return opendir(path);
}

struct site *site_open(const char *root, const char *frame_ancestors, const char *sources)
{
        struct site *s = mem_alloc(sizeof(*s));
        char path[PATH_MAX], quoted[300];
        DIR *dir = open_root(root, path);
        s->content_policy = mem_printf(CONTENT_POLICY, sources, frame_ancestors);
        if (!dir) {
                log_warn("msg=\"no web pages are served\" web_root=%s error=\"%s\"",
                         log_quote(quoted, sizeof(quoted), path), strerror(errno));
                return s;
        }
        for (struct dirent *e; (e = readdir(dir));) {
                const char *why = e->d_name[0] == '.' ? NULL : load(s, path, e->d_name);
                if (why)
                        log_warn("msg=\"a file of the web root is not served\" file=%s error=\"%s\"",
                                 log_quote(quoted, sizeof(quoted), e->d_name), why);
        }
        closedir(dir);
        log_info("msg=\"web pages\" web_root=%s files=%zu bytes=%zu", log_quote(quoted, sizeof(quoted), path), s->count,
                 s->bytes);
        return s;
}

void site_close(struct site *s)
{
        for (size_t i = 0; i < s->count; i++) {
                close_form(&s->files[i].plain);
                close_form(&s->files[i].gzipped);
        }
        free(s->content_policy);
        free(s);
}

const struct site_file *site_find(const struct site *s, const char *name)
{
        for (size_t i = 0; i < s->count; i++) {
                if (strcmp(s->files[i].name, name) == 0)
                        return &s->files[i];
        }
        return NULL;
}

const struct site_form *site_form(const struct site_file *f, const char *accept_encoding)
{
        return f->gzipped.whole && gzip_is_accepted(accept_encoding) ? &f->gzipped : &f->plain;
}
