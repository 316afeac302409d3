#include "originD/archive/s3.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/archive/sigv4.h"

#define CONNECT_S 10
#define HASH_BLOCK (256u << 10)
#define CRC_HEADER "x-amz-meta-crc32c"
#define NOTHING_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3 {
        const struct s3_config *c;
        const atomic_bool *stop;
        CURL *easy; /* kept from call to call: so is its connection */
        char host[400];
        char error[400];
};

/* One request. What is not given is not sent. */
struct call {
        const char *method, *name; /* name NULL: the bucket itself */
        struct sigv4_pair query[4];
        size_t query_count;
        struct sigv4_pair headers[8]; /* besides those that every request has */
        size_t header_count;
        const char *payload_sha256;
        int fd; /* to be sent */
        uint64_t send_bytes, sent;
        uint8_t *into; /* of a range */
        size_t into_cap, got;
        /* the answer */
        CURL *easy;
        long status;
        char *text; /* of a list or an error; ends with a NUL */
        size_t text_len;
        bool too_long, unreadable;
        uint64_t length;
        struct s3_object object;
};

static int fail(struct s3 *s, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct s3 *s, int err, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(s->error, sizeof(s->error), fmt, ap);
        va_end(ap);
        return err;
}

const char *s3_error(const struct s3 *s)
{
        return s->error;
}

bool s3_may_try_again(int err)
{
        return err == ERR_TIMEOUT || err == ERR_REFUSED || err == ERR_CLOSED || err == ERR_FULL;
}

/* curl_global_init() is http_client.c's concern in a daemon: here as well, as units and tools have none. It counts. */
struct s3 *s3_open(const struct s3_config *c, const atomic_bool *stop)
{
        struct s3 *s = mem_alloc(sizeof(*s));
        s->c = c;
        s->stop = stop;
        curl_global_init(CURL_GLOBAL_DEFAULT);
        s->easy = curl_easy_init();
        if (!s->easy)
                mem_out("the archive");
        snprintf(s->host, sizeof(s->host), "%s%s%s", c->path_style ? "" : c->bucket, c->path_style ? "" : ".",
                 strstr(c->endpoint, "://") + 3);
        return s;
}

void s3_close(struct s3 **sp)
{
        struct s3 *s = *sp;
        *sp = NULL;
        if (!s)
                return;
        curl_easy_cleanup(s->easy);
        curl_global_cleanup();
        free(s);
}

/* ---- libcurl's side ---------------------------------------------------------------------------------------------- */

static size_t send_more(char *dst, size_t size, size_t count, void *arg)
{
        struct call *c = arg;
        uint64_t left = c->send_bytes - c->sent;
        size_t want = size * count < left ? size * count : (size_t)left;
        ssize_t n;
        if (!want)
                return 0;
        while ((n = pread(c->fd, dst, want, (off_t)c->sent)) < 0 && errno == EINTR)
                ;
        if (n <= 0) {
                c->unreadable = true; /* also when it became shorter than it was */
                return CURL_READFUNC_ABORT;
        }
        c->sent += (uint64_t)n;
        return (size_t)n;
}

static int rewind_to(void *arg, curl_off_t offset, int origin)
{
        struct call *c = arg;
        if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > c->send_bytes)
                return CURL_SEEKFUNC_FAIL;
        c->sent = (uint64_t)offset;
        return CURL_SEEKFUNC_OK;
}

/* Media into the caller's memory, everything else into text. */
static size_t receive(char *data, size_t size, size_t count, void *arg)
{
        struct call *c = arg;
        size_t n = size * count;
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->status);
        if (c->into && c->status / 100 == 2) {
                c->too_long = n > c->into_cap - c->got;
                if (c->too_long)
                        return 0;
                memcpy(c->into + c->got, data, n);
                c->got += n;
                return n;
        }
        if (n > S3_TEXT_MAX - c->text_len) {
                c->too_long = true;
                return 0;
        }
        c->text = mem_resize(c->text, c->text_len + n + 1);
        memcpy(c->text + c->text_len, data, n);
        c->text_len += n;
        c->text[c->text_len] = '\0';
        return n;
}

/* "Name: value\r\n"; value is not terminated. */
static bool header_is(const char *line, size_t len, const char *name, char value[32])
{
        size_t n = strlen(name);
        if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
                return false;
        for (n++; n < len && (line[n] == ' ' || line[n] == '\t'); n++)
                ;
        size_t out = 0;
        for (; n < len && out < 31 && line[n] > ' '; n++)
                value[out++] = line[n];
        value[out] = '\0';
        return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
        struct call *c = arg;
        size_t len = size * count;
        char value[32], *end;
        if (header_is(line, len, CRC_HEADER, value)) {
                unsigned long crc = strtoul(value, &end, 16);
                c->object.has_crc32c = strlen(value) == 8 && !*end;
                c->object.crc32c = (uint32_t)crc;
        } else if (header_is(line, len, "Content-Length", value)) {
                c->length = strtoull(value, &end, 10);
        }
        return len;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        const struct s3 *s = arg;
        (void)a, (void)b, (void)c, (void)d;
        return s->stop && atomic_load_explicit(s->stop, memory_order_relaxed);
}

static int err_of_curl(struct s3 *s, const struct call *c, CURLcode code)
{
        if (c->unreadable)
                return fail(s, ERR_IO, "the file cannot be read to its end");
        if (c->too_long)
                return fail(s, ERR_PROTO, "the answer is longer than what was asked for");
        switch (code) {
        case CURLE_ABORTED_BY_CALLBACK:
                return fail(s, ERR_CANCELED, "stopped");
        case CURLE_OPERATION_TIMEDOUT:
                return fail(s, ERR_TIMEOUT, "%s", curl_easy_strerror(code));
        case CURLE_COULDNT_CONNECT:
        case CURLE_COULDNT_RESOLVE_HOST:
                return fail(s, ERR_REFUSED, "%s", curl_easy_strerror(code));
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_CACERT_BADFILE:
                return fail(s, ERR_DENIED, "%s", curl_easy_strerror(code));
        default: /* the connection broke, one way or the other */
                return fail(s, ERR_CLOSED, "%s", curl_easy_strerror(code));
        }
}

/* 0, or what the status means for who asked. */
static int err_of_status(struct s3 *s, const struct call *c)
{
        char words[256] = "";
        if (c->status / 100 == 2)
                return 0;
        if (c->text)
                s3_error_parse(words, sizeof(words), c->text);
        int err = c->status == 404   ? ERR_NOT_FOUND
                  : c->status == 401 || c->status == 403 ? ERR_DENIED
                  : c->status == 408 ? ERR_TIMEOUT
                  : c->status == 429 || c->status >= 500 ? ERR_FULL
                  : c->status / 100 == 3 ? ERR_CONFIG /* another region's, most likely */
                                         : ERR_PROTO;
        if (err == ERR_NOT_FOUND && c->text && strstr(c->text, "<Code>NoSuchBucket<"))
                err = ERR_CONFIG; /* not an absence of this object, which a caller may conclude something from */
        return fail(s, err, "%s %s: status %ld%s%s", c->method, c->name ? "an object" : "the bucket", c->status,
                    words[0] ? ", " : "", words);
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
        char *line = mem_printf("%s: %s", name, value);
        struct curl_slist *longer = curl_slist_append(list, line);
        free(line);
        if (!longer)
                mem_out("the archive");
        return longer;
}

/* Path (as signed) and URL of the call. ERR_LIMIT. */
static int write_url(struct s3 *s, const struct call *c, char *path, size_t path_cap, char *url, size_t url_cap)
{
        size_t n = 0;
        if (s->c->path_style) {
                path[n++] = '/';
                n = sigv4_encode(path, path_cap, n, s->c->bucket, 1);
        }
        if (n < path_cap && (c->name || !n))
                path[n++] = '/';
        if (c->name && n < path_cap)
                n = sigv4_encode(path, path_cap, n, s->c->prefix, 1);
        if (c->name && n < path_cap)
                n = sigv4_encode(path, path_cap, n, c->name, 1);
        if (n >= path_cap)
                return ERR_LIMIT;
        path[n] = '\0';
        const char *scheme_end = strstr(s->c->endpoint, "://") + 3;
        int len = snprintf(url, url_cap, "%.*s%s%s", (int)(scheme_end - s->c->endpoint), s->c->endpoint, s->host, path);
        size_t at = len < 0 || (size_t)len >= url_cap ? url_cap : (size_t)len;
        for (size_t i = 0; i < c->query_count && at < url_cap; i++) {
                const struct sigv4_pair *q = &c->query[i];
                if (at + 1 < url_cap)
                        url[at++] = i ? '&' : '?';
                at = sigv4_encode(url, url_cap, at, q->name, 0);
                if (at + 1 < url_cap)
                        url[at++] = '=';
                at = sigv4_encode(url, url_cap, at, q->value, 0);
        }
        return at < url_cap ? 0 : ERR_LIMIT;
}

static int sign(struct s3 *s, const struct call *c, const char *path, struct curl_slist **headers)
{
        char date[SIGV4_DATE_MAX], authorization[SIGV4_AUTHORIZATION_MAX];
        struct sigv4_pair all[SIGV4_PAIRS_MAX];
        size_t n = 0;
        sigv4_date(date, clock_wall_us());
        all[n++] = (struct sigv4_pair){"host", s->host};
        all[n++] = (struct sigv4_pair){"x-amz-content-sha256", c->payload_sha256};
        all[n++] = (struct sigv4_pair){"x-amz-date", date};
        if (s->c->session_token[0])
                all[n++] = (struct sigv4_pair){"x-amz-security-token", s->c->session_token};
        for (size_t i = 0; i < c->header_count; i++)
                all[n++] = c->headers[i];
        struct sigv4_request r = {.method = c->method, .path = path, .query = c->query, .query_count = c->query_count,
                                  .headers = all, .header_count = n, .payload_sha256 = c->payload_sha256};
        struct sigv4_keys keys = {s->c->access_key, s->c->secret_key, s->c->region, "s3"};
        if (sigv4_authorization(authorization, &r, &keys, date))
                return fail(s, ERR_LIMIT, "the request is too long to be signed");
        for (size_t i = 0; i < n; i++)
                *headers = add_header(*headers, all[i].name, all[i].value);
        *headers = add_header(*headers, "Authorization", authorization);
        return 0;
}

static void set_options(struct s3 *s, struct call *c, const char *url, struct curl_slist *headers)
{
        CURL *e = s->easy;
        curl_easy_reset(e); /* the connection stays */
        curl_easy_setopt(e, CURLOPT_URL, url);
        curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(e, CURLOPT_PROXY, "");
        curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
        curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)S3_SLOWEST_BYTES_PER_S);
        curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)S3_STALL_S);
        curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(e, CURLOPT_XFERINFODATA, s);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, receive);
        curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
        curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
        if (s->c->ca_file[0])
                curl_easy_setopt(e, CURLOPT_CAINFO, s->c->ca_file);
        if (strcmp(c->method, "PUT") == 0) {
                curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
                curl_easy_setopt(e, CURLOPT_MAX_SEND_SPEED_LARGE, (curl_off_t)s->c->send_bytes_s);
                curl_easy_setopt(e, CURLOPT_READFUNCTION, send_more);
                curl_easy_setopt(e, CURLOPT_READDATA, c);
                curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, rewind_to);
                curl_easy_setopt(e, CURLOPT_SEEKDATA, c);
                curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->send_bytes);
        } else if (strcmp(c->method, "HEAD") == 0) {
                curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
        } else if (strcmp(c->method, "GET") != 0) {
                curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, c->method);
        }
}

static int ask(struct s3 *s, struct call *c)
{
        char path[3 * S3_NAME_MAX + 200], url[sizeof(path) + 2048];
        struct curl_slist *headers = NULL;
        s->error[0] = '\0';
        c->easy = s->easy;
        if (!c->payload_sha256)
                c->payload_sha256 = NOTHING_SHA256;
        if (c->name && (!*c->name || strlen(s->c->prefix) + strlen(c->name) > S3_NAME_MAX))
                return fail(s, ERR_LIMIT, "an object's name is too long");
        if (write_url(s, c, path, sizeof(path), url, sizeof(url)))
                return fail(s, ERR_LIMIT, "an object's name is too long");
        int err = sign(s, c, path, &headers);
        if (!err) {
                set_options(s, c, url, headers);
                CURLcode code = curl_easy_perform(s->easy);
                curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &c->status);
                err = code != CURLE_OK ? err_of_curl(s, c, code) : err_of_status(s, c);
        }
        curl_slist_free_all(headers);
        return err;
}

static int finish(struct call *c, int err)
{
        free(c->text);
        c->text = NULL;
        return err;
}

/* ---- the verbs --------------------------------------------------------------------------------------------------- */

/* Both hashes of what is to be sent. */
static int hash_file(struct s3 *s, int fd, uint64_t bytes, char sha256[SIGV4_SHA256_MAX], uint32_t *crc)
{
        uint8_t *block = mem_alloc(HASH_BLOCK);
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned hash_len = 0;
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        int err = 0;
        *crc = 0;
        if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
                mem_out("the archive");
        for (uint64_t at = 0; at < bytes && !err;) {
                size_t want = bytes - at < HASH_BLOCK ? (size_t)(bytes - at) : HASH_BLOCK;
                ssize_t n = pread(fd, block, want, (off_t)at);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        err = fail(s, ERR_IO, "the file cannot be read: %s", n ? strerror(errno) : "it is too short");
                } else if (on_progress(s, 0, 0, 0, 0)) {
                        err = fail(s, ERR_CANCELED, "stopped");
                } else {
                        EVP_DigestUpdate(md, block, (size_t)n);
                        *crc = crc32c(*crc, block, (size_t)n);
                        at += (uint64_t)n;
                }
        }
        EVP_DigestFinal_ex(md, hash, &hash_len);
        EVP_MD_CTX_free(md);
        free(block);
        for (unsigned i = 0; i < hash_len; i++)
                snprintf(sha256 + 2 * i, 3, "%02x", hash[i]);
        return err;
}

int s3_put(struct s3 *s, const char *name, int fd, uint64_t bytes, const uint32_t *crc, const char *content_type)
{
        char sha256[SIGV4_SHA256_MAX], hex[9];
        uint32_t is;
        s->error[0] = '\0';
        if (bytes > S3_OBJECT_MAX)
                return fail(s, ERR_LIMIT, "of more than 5 GiB an object store takes no object at once");
        int err = hash_file(s, fd, bytes, sha256, &is);
        if (err)
                return err;
        if (crc && is != *crc)
                return fail(s, ERR_CORRUPT, "the file is not what was stored: its checksum is another");
        snprintf(hex, sizeof(hex), "%08" PRIx32, is);
        struct call c = {.method = "PUT", .name = name, .fd = fd, .send_bytes = bytes, .payload_sha256 = sha256};
        c.headers[c.header_count++] = (struct sigv4_pair){CRC_HEADER, hex};
        c.headers[c.header_count++] = (struct sigv4_pair){"content-type", content_type};
        return finish(&c, ask(s, &c));
}

int s3_get(struct s3 *s, const char *name, uint64_t from, size_t len, uint8_t *dst)
{
        char range[64];
        if (!len)
                return 0;
        snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, from, from + len - 1);
        struct call c = {.method = "GET", .name = name, .into = dst, .into_cap = len};
        c.headers[c.header_count++] = (struct sigv4_pair){"range", range};
        int err = ask(s, &c);
        if (!err && c.status != 206 && from)
                err = fail(s, ERR_PROTO, "the store answers the whole object when it is asked for a part");
        else if (!err && c.got != len)
                err = fail(s, ERR_PROTO, "the object ends sooner than it ought to");
        else if (c.status == 416)
                err = fail(s, ERR_PROTO, "the object ends sooner than it ought to");
        return finish(&c, err);
}

int s3_head(struct s3 *s, const char *name, struct s3_object *out)
{
        struct call c = {.method = "HEAD", .name = name};
        int err = ask(s, &c);
        *out = c.object;
        out->bytes = c.length;
        return finish(&c, err);
}

int s3_remove(struct s3 *s, const char *name)
{
        struct call c = {.method = "DELETE", .name = name};
        int err = ask(s, &c);
        return finish(&c, err == ERR_NOT_FOUND ? 0 : err);
}

struct listing {
        bool (*found)(void *arg, const char *name, uint64_t bytes);
        void *arg;
        bool enough;
};

static bool tell(void *arg, const char *name, uint64_t bytes)
{
        struct listing *l = arg;
        l->enough = !l->found(l->arg, name, bytes);
        return !l->enough;
}

int s3_list(struct s3 *s, const char *begin, bool (*found)(void *arg, const char *name, uint64_t bytes), void *arg)
{
        struct listing l = {found, arg, false};
        char next[S3_NAME_MAX + 1] = "", after[S3_NAME_MAX + 1], whole[S3_NAME_MAX + 1], page[16];
        snprintf(page, sizeof(page), "%d", S3_LIST_PAGE);
        if ((size_t)snprintf(whole, sizeof(whole), "%s%s", s->c->prefix, begin) >= sizeof(whole))
                return fail(s, ERR_LIMIT, "an object's name is too long");
        do {
                strcpy(after, next);
                struct call c = {.method = "GET"};
                c.query[c.query_count++] = (struct sigv4_pair){"list-type", "2"};
                c.query[c.query_count++] = (struct sigv4_pair){"max-keys", page};
                c.query[c.query_count++] = (struct sigv4_pair){"prefix", whole};
                if (after[0])
                        c.query[c.query_count++] = (struct sigv4_pair){"start-after", after};
                int err = ask(s, &c);
                if (!err && s3_list_parse(c.text ? c.text : "", s->c->prefix, tell, &l, next))
                        err = fail(s, ERR_PROTO, "the list makes no sense");
                if (!err && !l.enough && next[0] && strcmp(next, after) <= 0)
                        err = fail(s, ERR_PROTO, "the list does not go on");
                finish(&c, 0);
                if (err)
                        return err;
        } while (next[0] && !l.enough);
        return 0;
}
