#include "edged/access.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/pattern.h"
#include "proto/message.h"

#define WAYS 4
#define TOKENS_MIN 64
#define STREAMS_KEPT 64 /* power of two */
#define TAIL 32         /* bytes at a token's end: its signature, which is as good as random, finds its place */
#define USE "view"

struct rules {
        atomic_uint refs;
        unsigned generation;
        struct jwt_keys *keys; /* NULL: none */
        size_t count;
        char *patterns[];
};

struct access {
        pthread_mutex_t lock;
        struct rules *rules;     /* under lock */
        atomic_uint generation;  /* of rules */
};

struct verified {
        uint64_t hash;
        uint32_t used; /* the memory's clock when it was last asked for */
        struct jwt_claims claims;
        char stream[STREAM_ID_MAX + 1]; /* the last one that fitted claims.path; "": none yet */
        size_t len;
        char token[];
};

struct judged { /* by the patterns of the rules */
        char stream[STREAM_ID_MAX + 1]; /* "": no entry */
        bool is_private;
};

struct failed {
        XXH128_hash_t hash;
        uint8_t fault; /* 0: no entry */
};

struct access_memory {
        struct access *access;
        struct rules *rules; /* one reference */
        uint64_t seed;       /* nobody outside can choose tokens that meet in one place */
        uint32_t clock;
        size_t set_mask;
        struct verified **sets; /* (set_mask + 1) * WAYS */
        struct failed failed[ACCESS_FAILURES_KEPT];
        struct judged judged[STREAMS_KEPT];
        int64_t debt_us, debt_at_us; /* of signatures checked in vain */
        struct access_counts counts;
};

const struct access_pass access_nothing = {.form = ACCESS_PUBLIC, .until_s = INT64_MAX};

/* ---- words ---------------------------------------------------------------------------------------------------- */

unsigned access_status(unsigned fault)
{
        return fault == ACCESS_BUSY ? 503 : fault == JWT_USE || fault == JWT_STREAM ? 403 : 401;
}

const char *access_text(unsigned fault)
{
        return fault == ACCESS_MISSING
                       ? "this stream is private: it needs a token, as /t/<token>/..., Authorization: Bearer, or the cookie "
                         ACCESS_COOKIE
               : fault == ACCESS_BUSY ? "too many tokens that are not genuine; try again"
                                      : jwt_fault_text((enum jwt_fault)fault);
}

struct access_token access_bearer(const char *authorization)
{
        struct access_token t = {.form = ACCESS_IN_HEADER};
        if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
                return t;
        for (t.text = authorization + 7; *t.text == ' '; t.text++)
                ;
        t.len = (size_t)(strchrnul(t.text, ' ') - t.text); /* of 250 bytes: half of what strcspn() takes */
        while (t.len > 0 && t.text[t.len - 1] == '\t')
                t.len--;
        return t;
}

struct access_token access_cookie(const char *cookies)
{
        struct access_token t = {.form = ACCESS_IN_HEADER};
        const size_t name_len = strlen(ACCESS_COOKIE);
        for (const char *p = cookies; p && *p; p += strcspn(p, ";"), p += *p == ';') {
                p += strspn(p, " \t");
                if (strncmp(p, ACCESS_COOKIE, name_len) != 0 || p[name_len] != '=')
                        continue;
                t.text = p + name_len + 1;
                t.text += *t.text == '"';
                t.len = strcspn(t.text, "\"; \t");
                break;
        }
        return t;
}

/* ---- the rules ------------------------------------------------------------------------------------------------ */

int access_check_patterns(const void *value, char *why, size_t why_cap)
{
        const json_t *list = *(json_t *const *)value, *one;
        size_t i;
        if (!json_is_array(list) || json_array_size(list) > ACCESS_PATTERNS_MAX) {
                snprintf(why, why_cap, "must be a list of at most %d patterns", ACCESS_PATTERNS_MAX);
                return ERR_CONFIG;
        }
        json_array_foreach(list, i, one) {
                if (json_is_string(one) && json_string_length(one) <= JWT_PATH_MAX && pattern_possible(json_string_value(one)))
                        continue;
                snprintf(why, why_cap,
                         "[%zu] must be a pattern that a stream's name can fit, 1 to %d letters, digits, _ - and * ? [a-z], such as \"staff-*\"",
                         i, JWT_PATH_MAX);
                return ERR_CONFIG;
        }
        return 0;
}

static void rules_unref(struct rules *r)
{
        if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (size_t i = 0; i < r->count; i++)
                free(r->patterns[i]);
        jwt_keys_unref(&r->keys);
        free(r);
}

struct access *access_open(void)
{
        struct access *a = mem_alloc(sizeof(*a));
        pthread_mutex_init(&a->lock, NULL);
        access_set(a, NULL, NULL);
        return a;
}

void access_set(struct access *a, const json_t *private_streams, struct jwt_keys *keys)
{
        size_t count = json_array_size(private_streams);
        struct rules *r = mem_alloc(sizeof(*r) + count * sizeof(r->patterns[0])), *old;
        atomic_init(&r->refs, 1);
        r->keys = keys ? jwt_keys_ref(keys) : NULL;
        for (; r->count < count; r->count++)
                r->patterns[r->count] = mem_strdup(json_string_value(json_array_get(private_streams, r->count)));
        pthread_mutex_lock(&a->lock);
        old = a->rules;
        r->generation = old ? old->generation + 1 : 1;
        a->rules = r;
        atomic_store_explicit(&a->generation, r->generation, memory_order_release);
        pthread_mutex_unlock(&a->lock);
        if (old)
                rules_unref(old);
}

/* Only the loop thread changes the rules, so it may read them without the lock. */
bool access_has_private(struct access *a)
{
        return a->rules->count > 0;
}

static bool has_key(const struct rules *r, struct jwt_key_id key)
{
        return r->keys && jwt_keys_has(r->keys, &key);
}

bool access_key_is_valid(struct access *a, struct jwt_key_id key)
{
        return has_key(a->rules, key);
}

void access_close(struct access *a)
{
        rules_unref(a->rules);
        pthread_mutex_destroy(&a->lock);
        free(a);
}

/* ---- a thread's memory ---------------------------------------------------------------------------------------- */

static struct rules *take_rules(struct access *a)
{
        pthread_mutex_lock(&a->lock);
        struct rules *r = a->rules;
        atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
        pthread_mutex_unlock(&a->lock);
        return r;
}

struct access_memory *access_memory_open(struct access *a, unsigned tokens_max)
{
        struct access_memory *m = mem_alloc(sizeof(*m));
        size_t sets = TOKENS_MIN / WAYS;
        while (sets * WAYS < tokens_max)
                sets *= 2;
        m->access = a;
        m->rules = take_rules(a);
        m->set_mask = sets - 1;
        m->sets = mem_alloc(sets * WAYS * sizeof(m->sets[0]));
        if (getrandom(&m->seed, sizeof(m->seed), 0) != sizeof(m->seed))
                m->seed = (uint64_t)clock_mono_us() ^ (uint64_t)(uintptr_t)m;
        return m;
}

void access_memory_close(struct access_memory *m)
{
        for (size_t i = 0; i < (m->set_mask + 1) * WAYS; i++)
                free(m->sets[i]);
        free(m->sets);
        rules_unref(m->rules);
        free(m);
}

/* A key that came makes tokens genuine that were not, and one that went the other way round. */
static void take_new_rules(struct access_memory *m)
{
        rules_unref(m->rules);
        m->rules = take_rules(m->access);
        memset(m->failed, 0, sizeof(m->failed));
        memset(m->judged, 0, sizeof(m->judged));
        for (size_t i = 0; i < (m->set_mask + 1) * WAYS; i++) {
                if (m->sets[i] && !has_key(m->rules, m->sets[i]->claims.key)) {
                        free(m->sets[i]);
                        m->sets[i] = NULL;
                }
        }
}

static const struct rules *rules_now(struct access_memory *m)
{
        if (atomic_load_explicit(&m->access->generation, memory_order_acquire) != m->rules->generation)
                take_new_rules(m);
        return m->rules;
}

unsigned access_generation(struct access_memory *m)
{
        return rules_now(m)->generation;
}

struct access_counts access_counts(const struct access_memory *m)
{
        return m->counts;
}

static bool is_private(const struct rules *r, const char *stream)
{
        for (size_t i = 0; i < r->count; i++) {
                if (pattern_fits(r->patterns[i], stream))
                        return true;
        }
        return false;
}

bool access_any_private(struct access_memory *m)
{
        return rules_now(m)->count > 0;
}

/* Patterns are matched once a stream: most requests of a thread are for the same few. */
bool access_is_private(struct access_memory *m, const char *stream)
{
        const struct rules *r = rules_now(m);
        size_t len = strlen(stream);
        if (r->count == 0)
                return false;
        if (len == 0 || len > STREAM_ID_MAX)
                return is_private(r, stream);
        struct judged *j = &m->judged[XXH3_64bits(stream, len) & (STREAMS_KEPT - 1)];
        if (memcmp(j->stream, stream, len + 1) != 0) {
                memcpy(j->stream, stream, len + 1);
                j->is_private = is_private(r, stream);
        }
        return j->is_private;
}

/* ---- tokens --------------------------------------------------------------------------------------------------- */

static struct verified *recall(struct access_memory *m, struct verified **set, uint64_t hash, const struct access_token *t)
{
        for (unsigned i = 0; i < WAYS; i++) {
                struct verified *v = set[i];
                if (v && v->hash == hash && v->len == t->len && memcmp(v->token, t->text, t->len) == 0) {
                        v->used = ++m->clock;
                        return v;
                }
        }
        return NULL;
}

static struct verified *remember(struct access_memory *m, struct verified **set, uint64_t hash, const struct access_token *t,
                                 const struct jwt_claims *claims)
{
        struct verified **place = &set[0];
        for (unsigned i = 1; i < WAYS && *place; i++) {
                if (!set[i] || m->clock - set[i]->used > m->clock - (*place)->used)
                        place = &set[i];
        }
        free(*place);
        struct verified *v = *place = mem_alloc(sizeof(*v) + t->len);
        *v = (struct verified){.hash = hash, .used = ++m->clock, .claims = *claims, .len = t->len};
        memcpy(v->token, t->text, t->len);
        return v;
}

/* What was checked in vain is paid off at ACCESS_FAILURES_PER_S; a second's worth may be owed. */
static bool in_debt(struct access_memory *m, int64_t now_us)
{
        int64_t passed_us = now_us - m->debt_at_us;
        m->debt_at_us = now_us;
        m->debt_us -= passed_us > 0 && passed_us < m->debt_us ? passed_us : passed_us > 0 ? m->debt_us : 0;
        return m->debt_us >= US_PER_S;
}

/* Not known yet: verifies. NULL: *fault says why. */
static struct verified *verify(struct access_memory *m, struct verified **set, uint64_t hash, const struct access_token *t,
                               int64_t now_us, unsigned *fault)
{
        struct jwt_claims claims;
        unsigned signatures = 0;
        XXH128_hash_t wide = XXH3_128bits_withSeed(t->text, t->len, m->seed);
        struct failed *f = &m->failed[wide.low64 & (ACCESS_FAILURES_KEPT - 1)];
        *fault = f->fault;
        if (f->fault && XXH128_isEqual(f->hash, wide))
                return NULL;
        *fault = ACCESS_BUSY;
        if (in_debt(m, now_us))
                return NULL;
        *fault = m->rules->keys ? jwt_verify(m->rules->keys, t->text, t->len, &claims, &signatures) : JWT_KEY;
        if (*fault == JWT_OK) {
                m->counts.verified++;
                return remember(m, set, hash, t, &claims);
        }
        m->counts.failed++;
        m->debt_us += signatures * (US_PER_S / ACCESS_FAILURES_PER_S);
        if (signatures > 0)
                *f = (struct failed){.hash = wide, .fault = (uint8_t)*fault};
        return NULL;
}

static unsigned judge_token(struct verified *v, const char *stream, int64_t now_s)
{
        bool fitted = stream && *stream && strcmp(v->stream, stream) == 0;
        unsigned fault = jwt_judge(&v->claims, USE, fitted ? NULL : stream, now_s);
        if (fault == ACCESS_OK && stream && !fitted && strlen(stream) <= STREAM_ID_MAX)
                strcpy(v->stream, stream);
        return fault;
}

unsigned access_check(struct access_memory *m, const struct access_token *token, const char *stream, int64_t now_us,
                      struct access_pass *pass)
{
        rules_now(m);
        if (!token->text)
                return ACCESS_MISSING;
        if (token->len > JWT_TOKEN_MAX)
                return JWT_LONG;
        unsigned fault = ACCESS_OK;
        size_t tail = token->len < TAIL ? token->len : TAIL;
        uint64_t hash = XXH3_64bits_withSeed(token->text + token->len - tail, tail, m->seed);
        struct verified **set = &m->sets[(hash & m->set_mask) * WAYS], *v = recall(m, set, hash, token);
        if (v)
                m->counts.known++;
        else
                v = verify(m, set, hash, token, now_us, &fault);
        if (v)
                fault = judge_token(v, stream, now_us / US_PER_S);
        if (fault != ACCESS_OK)
                return fault;
        *pass = (struct access_pass){.form = token->form, .until_s = v->claims.exp_s, .key = v->claims.key};
        memcpy(pass->path, v->claims.path, sizeof(pass->path));
        return ACCESS_OK;
}

/* ---- the list ------------------------------------------------------------------------------------------------- */

char *access_list(struct access_memory *m, const char *json, size_t len, const char *path, size_t *out_len)
{
        const struct rules *r = rules_now(m);
        if (r->count == 0)
                return NULL;
        json_t *root = json_loadb(json, len, 0, NULL), *kept = json_array(), *one, *next = json_object_get(root, "next");
        const char *name = json_object_get(root, "recordings") ? "recordings" : "streams";
        size_t i;
        json_array_foreach(json_object_get(root, name), i, one) {
                const char *id = json_string_value(json_object_get(one, "id"));
                if (id && (!is_private(r, id) || (*path && pattern_fits(path, id))))
                        json_array_append(kept, one);
        }
        json_t *answer = json_pack("{s:o}", name, kept);
        if (next) /* there may be something behind a page with nothing on it */
                json_object_set(answer, "next", next);
        char *text = json_dumps(answer, JSON_COMPACT);
        json_decref(answer);
        json_decref(root);
        *out_len = strlen(text);
        return text;
}
