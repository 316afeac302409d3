#include "common/tls_server.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/file_watch.h"
#include "common/magic.h"
#include "common/mem.h"
#include "common/tls_tickets.h"

#define NAME_MAX_BYTES 255
#define ALPN_MAX_BYTES 64
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define DEFAULT_PAIR "tls"
#define TROUBLES_MAX (TLS_SERVER_PAIRS_MAX + 1)

/* One certificate and its key, as OpenSSL holds them. */
struct pair {
        char name[NAME_MAX_BYTES + 1]; /* of the files, without .crt */
        SSL_CTX *ctx;
        int64_t not_after_s; /* wall clock */
};

/* Does not change once it is a server's: whoever looks at it in a handshake has a reference. */
struct pairs {
        atomic_uint refs;
        struct pair at[TLS_SERVER_PAIRS_MAX];
        unsigned count;
};

/* What a reading found wrong, a text each; of more than these nothing is said. */
struct trouble {
        char *texts[TROUBLES_MAX];
        unsigned count;
};

#define TLS_SERVER_MAGIC 0x544c5353

struct tls_server {
        uint32_t magic;
        char *directory;
        bool kernel;
        struct tls_tickets *tickets; /* NULL: there are none */
        char *ticket_secret;         /* that other servers have too; "": none */
        pthread_mutex_t lock;
        struct pairs *pairs; /* changed by the loop thread, under the lock */
        struct file_watch *watch;
        uv_timer_t retry;       /* active: the last reading found something wrong */
        struct trouble trouble; /* and it was told */
        unsigned char alpn[ALPN_MAX_BYTES]; /* a length before each name, as on the wire */
        unsigned alpn_len;
};

enum { CERTIFICATES, NOT_AFTER, RELOADS_OK, RELOADS_FAILED };
static struct metric metrics[] = {
        [CERTIFICATES] = {.name = "freshet_tls_certificates", .type = METRIC_GAUGE,
                          .help = "pairs of certificate and key in use for those who connect"},
        [NOT_AFTER] = {.name = "freshet_tls_not_after_seconds", .type = METRIC_GAUGE,
                       .help = "when the first of them expires, Unix time; 0: there are none"},
        [RELOADS_OK] = {.name = "freshet_tls_reloads_total", .type = METRIC_COUNTER,
                        .help = "times the certificates were read again", .labels = "result=\"ok\""},
        [RELOADS_FAILED] = {.name = "freshet_tls_reloads_total", .type = METRIC_COUNTER,
                            .help = "times the certificates were read again", .labels = "result=\"failed\""},
};

void tls_server_register_metrics(void)
{
        metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
}

/* Choosing -------------------------------------------------------------------------------------------------------- */

static const struct pair *pair_named(const struct pairs *all, const char *name)
{
        for (unsigned i = 0; i < all->count; i++) {
                if (strcmp(all->at[i].name, name) == 0)
                        return &all->at[i];
        }
        return NULL;
}

static bool is_for(const struct pair *p, const char *host)
{
        return host && X509_check_host(SSL_CTX_get0_certificate(p->ctx), host, 0, 0, NULL) == 1;
}

static bool expired(const struct pair *p)
{
        return p->not_after_s * US_PER_S < clock_wall_us();
}

static const struct pair *pair_for(const struct pairs *all, const char *host)
{
        const struct pair *found = NULL;
        for (unsigned i = 0; host && i < all->count; i++) {
                const struct pair *p = &all->at[i];
                if ((!found || expired(found)) && is_for(p, host) && !(found && expired(p)))
                        found = p;
        }
        const struct pair *usual = found ? found : pair_named(all, DEFAULT_PAIR);
        return usual ? usual : &all->at[0];
}

static int key_type(const struct pair *p)
{
        return EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(p->ctx));
}

/* Certificates for the same names: what one of them may stand in for when the client names nobody. */
static bool same_names(const struct pair *p, const struct pair *q)
{
        GENERAL_NAMES *a = X509_get_ext_d2i(SSL_CTX_get0_certificate(p->ctx), NID_subject_alt_name, NULL, NULL);
        GENERAL_NAMES *b = X509_get_ext_d2i(SSL_CTX_get0_certificate(q->ctx), NID_subject_alt_name, NULL, NULL);
        int n = a ? sk_GENERAL_NAME_num(a) : 0, m = b ? sk_GENERAL_NAME_num(b) : 0, found = 0;
        for (int i = 0; i < n; i++) {
                for (int k = 0; k < m; k++) {
                        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a, i), sk_GENERAL_NAME_value(b, k)) == 0) {
                                found++;
                                break;
                        }
                }
        }
        GENERAL_NAMES_free(a);
        GENERAL_NAMES_free(b);
        return n > 0 && n == m && found == n;
}

/* One name may have certificates of several kinds of key: all go to the connection, and OpenSSL takes one whose signatures the
 * client understands. */
static void add_other_keys(SSL *ssl, const struct pairs *all, const struct pair *first, const char *host)
{
        int types[TLS_SERVER_PAIRS_MAX] = {key_type(first)};
        unsigned count = 1;
        bool asked_for = is_for(first, host);
        for (unsigned i = 0; i < all->count; i++) {
                const struct pair *p = &all->at[i];
                STACK_OF(X509) *chain = NULL;
                unsigned k = 0;
                while (k < count && types[k] != key_type(p))
                        k++;
                if (k < count || expired(p) || !(asked_for ? is_for(p, host) : same_names(first, p)))
                        continue;
                SSL_CTX_get0_chain_certs(p->ctx, &chain);
                if (SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(p->ctx), SSL_CTX_get0_privatekey(p->ctx), chain, 0) == 1)
                        types[count++] = key_type(p);
        }
}

static void pairs_unref(struct pairs **allp)
{
        struct pairs *all = *allp;
        *allp = NULL;
        if (!all || atomic_fetch_sub(&all->refs, 1) > 1)
                return;
        for (unsigned i = 0; i < all->count; i++)
                SSL_CTX_free(all->at[i].ctx);
        free(all);
}

/* A reference to those of now. */
static struct pairs *pairs_now(struct tls_server *s)
{
        pthread_mutex_lock(&s->lock);
        struct pairs *all = s->pairs;
        atomic_fetch_add(&all->refs, 1);
        pthread_mutex_unlock(&s->lock);
        return all;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
        const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        struct pairs *all = pairs_now(magic_check(arg, TLS_SERVER_MAGIC));
        const struct pair *first = pair_for(all, host);
        (void)alert;
        SSL_set_SSL_CTX(ssl, first->ctx);
        add_other_keys(ssl, all, first, host);
        pairs_unref(&all);
        return host ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                   unsigned offered_len, void *arg)
{
        const struct tls_server *s = magic_check(arg, TLS_SERVER_MAGIC);
        unsigned char *chosen;
        (void)ssl;
        if (!s->alpn_len ||
            SSL_select_next_proto(&chosen, out_len, s->alpn, s->alpn_len, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_NOACK;
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
}

/* Tickets --------------------------------------------------------------------------------------------------------- */

/* 0: no ticket, or not one of ours; 2: a good one, for which the client gets another: it is to show each but once (RFC 8446, C.4). */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seals)
{
        struct tls_server *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
        int64_t mono_us = clock_mono_us(), wall_us = clock_wall_us();
        struct tls_ticket_key k;
        bool found = seals ? tls_tickets_seal_with(s->tickets, SSL_version(ssl) >= TLS1_3_VERSION, mono_us, wall_us, &k)
                           : tls_tickets_opens_with(s->tickets, name, mono_us, wall_us, &k);
        if (!found)
                return 0;
        OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k.mac, sizeof(k.mac)),
                               OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                               OSSL_PARAM_construct_end()};
        bool ok = EVP_MAC_CTX_set_params(mac, params) == 1;
        if (seals) {
                memcpy(name, k.name, sizeof(k.name));
                ok = ok && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
                     EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.cipher, iv) == 1;
        } else {
                ok = ok && EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.cipher, iv) == 1;
        }
        OPENSSL_cleanse(&k, sizeof(k));
        return !ok ? -1 : seals ? 1 : 2;
}

/* Reading --------------------------------------------------------------------------------------------------------- */

/* OpenSSL would ask for the password on the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
        (void)buf, (void)size, (void)writing, (void)arg;
        return -1;
}

static SSL_CTX *new_context(struct tls_server *s)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        if (!ctx)
                mem_out("TLS");
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA | (s->tickets ? 0 : SSL_OP_NO_TICKET) |
                                         (s->kernel ? SSL_OP_ENABLE_KTLS : 0));
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_app_data(ctx, s);
        if (s->tickets) {
                SSL_CTX_set_timeout(ctx, TLS_TICKETS_S);
                SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
        } else {
                SSL_CTX_set_num_tickets(ctx, 0);
        }
        /* An idle connection gives its record buffers back. */
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_default_passwd_cb(ctx, no_password);
        SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
        SSL_CTX_set_tlsext_servername_arg(ctx, s);
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, s);
        return ctx;
}

static int64_t not_after_s(const X509 *certificate)
{
        struct tm tm;
        if (!ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm))
                return 0;
        return (int64_t)timegm(&tm);
}

/* False: why says what is wrong with which file. */
static bool read_pair(struct tls_server *s, struct pair *out, const char *certificate, const char *key, char *why,
                      size_t why_cap)
{
        const char *wrong = NULL;
        char reason[128] = "";
        SSL_CTX *ctx = new_context(s);
        ERR_clear_error();
        if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
                wrong = certificate;
        else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
                wrong = key;
        if (wrong) {
                unsigned long code = ERR_peek_error();
                const char *text = ERR_reason_error_string(code);
                snprintf(reason, sizeof(reason), "%s", ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                                       : text                 ? text
                                                                              : "cannot be read");
                snprintf(why, why_cap, "%s: %s", wrong, reason);
                ERR_clear_error();
                SSL_CTX_free(ctx);
                return false;
        }
        out->ctx = ctx;
        out->not_after_s = not_after_s(SSL_CTX_get0_certificate(ctx));
        return true;
}

/* Not one that cannot be looked at. */
static bool is_absent(const char *path)
{
        struct stat st;
        return stat(path, &st) != 0 && errno == ENOENT;
}

/* The name before .crt or .pem; false: another file. NAME.pem is passed over where there is NAME.crt. */
static bool pair_name(char name[NAME_MAX_BYTES + 1], const char *directory, const char *file)
{
        size_t len = strlen(file);
        const char *end = len > 4 ? file + len - 4 : "";
        bool pem = strcmp(end, ".pem") == 0;
        if (*file == '.' || len - 4 > NAME_MAX_BYTES || (!pem && strcmp(end, ".crt") != 0))
                return false;
        snprintf(name, NAME_MAX_BYTES + 1, "%.*s", (int)(len - 4), file);
        if (!pem)
                return true;
        char *crt = mem_printf("%s/%s.crt", directory, name);
        bool alone = is_absent(crt);
        free(crt);
        return alone;
}

static void add_trouble(struct trouble *t, const char *text)
{
        if (t->count < TROUBLES_MAX)
                t->texts[t->count++] = mem_strdup(text);
}

static bool has_trouble(const struct trouble *t, const char *text)
{
        unsigned i = 0;
        while (i < t->count && strcmp(t->texts[i], text) != 0)
                i++;
        return i < t->count;
}

static void trouble_fini(struct trouble *t)
{
        while (t->count)
                free(t->texts[--t->count]);
}

/* What was found now is what is known from now on; what was not known before goes to the log. True: it was all known, and is all
 * that was. */
static bool take_trouble(struct trouble *known, struct trouble *now)
{
        char quoted[600];
        bool same = now->count == known->count;
        for (unsigned i = 0; i < now->count; i++) {
                if (has_trouble(known, now->texts[i]))
                        continue;
                same = false;
                log_error("msg=\"certificate not used\" error=%s", log_quote(quoted, sizeof(quoted), now->texts[i]));
        }
        trouble_fini(known);
        *known = *now;
        return same;
}

static void take_pair(struct tls_server *s, struct pairs *into, const char *file, struct trouble *trouble)
{
        struct pair *p = &into->at[into->count];
        char why[400];
        if (!pair_name(p->name, s->directory, file))
                return;
        char *certificate = mem_printf("%s/%s", s->directory, file), *key = mem_printf("%s/%s.key", s->directory, p->name);
        const struct pair *old = s->pairs ? pair_named(s->pairs, p->name) : NULL;
        if (!old && is_absent(key)) {
                /* An authority's certificate often lies beside the pair. */
                log_debug("file=%s msg=\"a certificate without a key is passed over\"", file);
        } else if (read_pair(s, p, certificate, key, why, sizeof(why)) && !(old && expired(p) && !expired(old))) {
                into->count++;
        } else {
                if (p->ctx) { /* it could be read */
                        snprintf(why, sizeof(why), "%s: it has expired, the one from before has not", certificate);
                        SSL_CTX_free(p->ctx);
                }
                add_trouble(trouble, why);
                p->ctx = NULL;
                if (old) {
                        p->ctx = old->ctx;
                        p->not_after_s = old->not_after_s;
                        SSL_CTX_up_ref(p->ctx);
                        into->count++;
                }
        }
        free(certificate);
        free(key);
}

static void log_pair(const struct pair *p)
{
        char subject[256], quoted[300], ts[CLOCK_ISO_MAX];
        const X509 *x = SSL_CTX_get0_certificate(p->ctx);
        X509_NAME_oneline(X509_get_subject_name(x), subject, sizeof(subject));
        log_quote(quoted, sizeof(quoted), subject);
        clock_iso(ts, sizeof(ts), p->not_after_s * US_PER_S);
        if (expired(p))
                log_warn("pair=%s subject=%s not_after=%s msg=\"certificate has expired\"", p->name, quoted, ts);
        else if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
                log_warn("pair=%s subject=%s not_after=%s msg=\"certificate in use is not valid yet, by this machine's clock\"", p->name,
                         quoted, ts);
        else
                log_info("pair=%s subject=%s not_after=%s msg=\"certificate in use\"", p->name, quoted, ts);
}

/* What is proved by them: one digest of all. */
static void digest_pairs(const struct pairs *all, uint8_t out[TLS_TICKETS_PROOF])
{
        EVP_MD_CTX *sum = EVP_MD_CTX_new();
        unsigned char one[EVP_MAX_MD_SIZE];
        unsigned len;
        bool ok = sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1;
        for (unsigned i = 0; ok && i < all->count; i++)
                ok = X509_digest(SSL_CTX_get0_certificate(all->at[i].ctx), EVP_sha256(), one, &len) == 1 &&
                     EVP_DigestUpdate(sum, one, len) == 1;
        if (!ok || EVP_DigestFinal_ex(sum, out, NULL) != 1)
                mem_out("TLS");
        EVP_MD_CTX_free(sum);
}

static void renew_tickets(struct tls_server *s)
{
        uint8_t proof[TLS_TICKETS_PROOF];
        if (!s->tickets)
                return;
        digest_pairs(s->pairs, proof);
        tls_tickets_share(s->tickets, s->ticket_secret, proof);
}

static void show(const struct pairs *all)
{
        int64_t first = 0;
        for (unsigned i = 0; i < all->count; i++) {
                log_pair(&all->at[i]);
                if (!first || all->at[i].not_after_s < first)
                        first = all->at[i].not_after_s;
        }
        metric_set(&metrics[CERTIFICATES], all->count);
        metric_set(&metrics[NOT_AFTER], first);
}

/* All pairs as the directory has them now. NULL: there is none that can be used. */
static struct pairs *read_pairs(struct tls_server *s, struct trouble *trouble)
{
        struct pairs *all = mem_alloc(sizeof(*all));
        atomic_init(&all->refs, 1);
        struct dirent **entries;
        char text[512];
        int n = scandir(s->directory, &entries, NULL, alphasort);
        if (n < 0) {
                snprintf(text, sizeof(text), "%s: %s", s->directory, strerror(errno));
                add_trouble(trouble, text);
        }
        for (int i = 0; i < n; i++) {
                char name[NAME_MAX_BYTES + 1];
                if (all->count < TLS_SERVER_PAIRS_MAX) {
                        take_pair(s, all, entries[i]->d_name, trouble);
                } else if (pair_name(name, s->directory, entries[i]->d_name)) {
                        snprintf(text, sizeof(text), "%s/%s: %d pairs are in use already, which is the most", s->directory,
                                 entries[i]->d_name, TLS_SERVER_PAIRS_MAX);
                        add_trouble(trouble, text);
                }
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        if (all->count)
                return all;
        if (!trouble->count) {
                snprintf(text, sizeof(text), "%s: no NAME.crt with NAME.key", s->directory);
                add_trouble(trouble, text);
        }
        pairs_unref(&all);
        return NULL;
}

static void on_retry(uv_timer_t *timer);

/* What is wrong may be with us (no descriptor is free, the disk had an error) and not with the files, which then never change
 * again. */
static void set_retry(struct tls_server *s)
{
        if (s->trouble.count)
                uv_timer_start(&s->retry, on_retry, TLS_SERVER_RETRY_MS, 0);
        else
                uv_timer_stop(&s->retry);
}

/* changed: the files may be others than those that were read last. */
static void read_again(struct tls_server *s, bool changed)
{
        struct trouble trouble = {0};
        struct pairs *now = read_pairs(s, &trouble);
        metric_add(&metrics[trouble.count ? RELOADS_FAILED : RELOADS_OK], 1);
        if (take_trouble(&s->trouble, &trouble) && !changed)
                pairs_unref(&now); /* as before: what was good then is in use, and was told */
        set_retry(s);
        if (!now)
                return;
        struct pairs *before = s->pairs;
        pthread_mutex_lock(&s->lock);
        s->pairs = now;
        pthread_mutex_unlock(&s->lock);
        renew_tickets(s);
        pairs_unref(&before);
        show(now);
}

static void on_retry(uv_timer_t *timer)
{
        read_again(magic_check(timer->data, TLS_SERVER_MAGIC), false);
}

void tls_server_set_ticket_secret(struct tls_server *s, const char *secret)
{
        if (strcmp(s->ticket_secret, secret) == 0)
                return;
        OPENSSL_cleanse(s->ticket_secret, strlen(s->ticket_secret));
        free(s->ticket_secret);
        s->ticket_secret = mem_strdup(secret);
        renew_tickets(s);
}

void tls_server_reload(struct tls_server *s)
{
        trouble_fini(&s->trouble); /* who asks gets an answer */
        read_again(s, true);
}

static void on_changed(void *arg)
{
        struct tls_server *s = magic_check(arg, TLS_SERVER_MAGIC);
        log_info("msg=\"certificates have changed\"");
        read_again(s, true);
}

/* Life ------------------------------------------------------------------------------------------------------------ */

static void take_alpn(struct tls_server *s, const char *const *alpn)
{
        for (size_t i = 0; alpn && alpn[i]; i++) {
                size_t len = strlen(alpn[i]);
                if (s->alpn_len + 1 + len > sizeof(s->alpn))
                        abort(); /* a list of ours */
                s->alpn[s->alpn_len++] = (unsigned char)len;
                memcpy(s->alpn + s->alpn_len, alpn[i], len);
                s->alpn_len += (unsigned)len;
        }
}

int tls_server_open(struct tls_server **out, uv_loop_t *loop, const struct tls_server_config *cfg)
{
        struct tls_server *s = mem_alloc(sizeof(*s));
        s->magic = TLS_SERVER_MAGIC;
        struct trouble trouble = {0};
        s->directory = mem_strdup(cfg->directory);
        s->tickets = cfg->tickets ? tls_tickets_open() : NULL;
        s->ticket_secret = mem_strdup(cfg->ticket_secret ? cfg->ticket_secret : "");
        s->kernel = cfg->kernel;
        pthread_mutex_init(&s->lock, NULL);
        take_alpn(s, cfg->alpn);
        uv_timer_init(loop, &s->retry);
        uv_unref((uv_handle_t *)&s->retry); /* a loop that has nothing else to do may end */
        s->retry.data = s;
        *out = s;
        /* Before the files are read: a change between the two would not be told. */
        s->watch = file_watch_open(loop, (const char *const[]){cfg->directory}, 1, on_changed, s);
        s->pairs = read_pairs(s, &trouble);
        take_trouble(&s->trouble, &trouble);
        if (!s->pairs) {
                tls_server_close(out);
                return ERR_CONFIG;
        }
        renew_tickets(s);
        set_retry(s);
        show(s->pairs);
        return 0;
}

SSL *tls_server_accept(struct tls_server *s)
{
        struct pairs *all = pairs_now(s);
        SSL *ssl = SSL_new(pair_for(all, NULL)->ctx);
        pairs_unref(&all);
        if (!ssl)
                mem_out("TLS");
        SSL_set_accept_state(ssl);
        return ssl;
}

unsigned tls_server_pairs(const struct tls_server *s)
{
        return s->pairs->count;
}

static void on_closed(uv_handle_t *retry)
{
        struct tls_server *s = magic_check(retry->data, TLS_SERVER_MAGIC);
        s->magic = 0;
        free(s);
}

void tls_server_close(struct tls_server **sp)
{
        struct tls_server *s = *sp;
        if (!s)
                return;
        *sp = NULL;
        file_watch_close(s->watch);
        pairs_unref(&s->pairs);
        tls_tickets_close(&s->tickets);
        OPENSSL_cleanse(s->ticket_secret, strlen(s->ticket_secret));
        free(s->ticket_secret);
        pthread_mutex_destroy(&s->lock);
        trouble_fini(&s->trouble);
        free(s->directory);
        uv_close((uv_handle_t *)&s->retry, on_closed);
}

int tls_server_check(const char *directory, char *why, size_t why_cap)
{
        struct tls_server s = {.directory = (char *)(uintptr_t)directory};
        struct trouble trouble = {0};
        struct pairs *all = read_pairs(&s, &trouble);
        bool ok = all;
        if (!ok)
                snprintf(why, why_cap, "%s", trouble.texts[trouble.count - 1]);
        trouble_fini(&trouble);
        pairs_unref(&all);
        return ok ? 0 : ERR_CONFIG;
}
