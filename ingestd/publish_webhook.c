#include "ingestd/publish_webhook.h"

#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/magic.h"
#include "common/mem.h"

#define REASON_MAX 200

struct question {
        uint8_t hash[SHA256_DIGEST_LENGTH]; /* of the body, without the address's port */
};

struct publish_webhook {
        const struct publish_webhook_config *config;
        struct http_client *http;
        struct {
                struct question question;
                int64_t until_us; /* monotonic; 0: free */
        } known[WEBHOOK_CACHED_MAX];
        unsigned unanswered; /* since it answered last */
        int64_t unanswered_since_us;
};

#define CALL_MAGIC 0x43414c4c

struct webhook_call {
        uint32_t magic;
        struct publish_webhook *webhook;
        struct http_request *request;
        struct question question;
        int64_t asked_us;
        webhook_done *done;
        void *arg;
};

enum { ALLOWED, REMEMBERED, REFUSED, FAILED, TIMED_OUT, BUSY };
#define RESULT(label)                                                                                                  \
        {.name = "ingestd_webhook_total", .type = METRIC_COUNTER,                                                      \
         .help = "what publish_webhook said, by result", .labels = "result=\"" label "\""}
static struct metric metrics[] = {
        [ALLOWED] = RESULT("allowed"), [REMEMBERED] = RESULT("remembered"), [REFUSED] = RESULT("refused"),
        [FAILED] = RESULT("failed"),   [TIMED_OUT] = RESULT("timed_out"),   [BUSY] = RESULT("busy"),
};
static struct histogram took = {.name = "ingestd_webhook_seconds", .help = "how long publish_webhook took to answer",
                                .bounds = {0.01, 0.03, 0.1, 0.3, 1, 3, 10}};

void publish_webhook_register_metrics(void)
{
        metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
        metrics_register_histogram(&took);
}

/* Questions ------------------------------------------------------------------------------------------------------- */

/* Bytes of an encoder that are no UTF-8 have no place in JSON. */
static json_t *text_of(const char *s)
{
        json_t *text = json_string(s);
        return text ? text : json_string("?");
}

static char *body_of(const struct publish_request *r, const char *address, bool with_key)
{
        json_t *o = json_object();
        json_object_set_new(o, "stream", text_of(r->stream));
        json_object_set_new(o, "app", text_of(r->app));
        json_object_set_new(o, "address", text_of(address));
        json_object_set_new(o, "encoder", text_of(r->encoder));
        json_object_set_new(o, "role", json_string(r->role == OPEN_BACKUP ? "backup" : "primary"));
        json_object_set_new(o, "secure", json_boolean(r->secure));
        json_object_set_new(o, "query", text_of(r->query));
        if (with_key)
                json_object_set_new(o, "key", text_of(r->key));
        char *body = json_dumps(o, JSON_COMPACT);
        json_decref(o);
        if (!body)
                abort(); /* out of memory */
        return body;
}

static struct question question_of(const struct publish_request *r, bool with_key)
{
        struct question q;
        char host[sizeof(r->address)];
        snprintf(host, sizeof(host), "%s", r->address);
        char *port = strrchr(host, ':');
        if (port)
                *port = '\0';
        char *body = body_of(r, host, with_key);
        SHA256((const unsigned char *)body, strlen(body), q.hash);
        free(body);
        return q;
}

static void remember(struct publish_webhook *w, const struct question *q, int64_t until_us)
{
        size_t at = 0;
        for (size_t i = 0; i < WEBHOOK_CACHED_MAX; i++) {
                if (memcmp(&w->known[i].question, q, sizeof(*q)) == 0) {
                        at = i;
                        break;
                }
                if (w->known[i].until_us < w->known[at].until_us)
                        at = i; /* of the others the one that is forgotten first */
        }
        w->known[at].question = *q;
        w->known[at].until_us = until_us;
}

bool publish_webhook_knows(struct publish_webhook *w, const struct publish_request *r, bool with_key, int64_t now_us)
{
        struct question q = question_of(r, with_key);
        for (size_t i = 0; i < WEBHOOK_CACHED_MAX; i++) {
                if (w->known[i].until_us > now_us && memcmp(&w->known[i].question, &q, sizeof(q)) == 0) {
                        metric_add(&metrics[REMEMBERED], 1);
                        return true;
                }
        }
        return false;
}

void publish_webhook_forget(struct publish_webhook *w)
{
        memset(w->known, 0, sizeof(w->known));
}

/* Answers --------------------------------------------------------------------------------------------------------- */

/* Control characters would break the encoder's dialogue and the log's line. */
static void read_reason(char out[REASON_MAX], const struct http_answer *a)
{
        json_t *o = json_loadb(a->body, a->body_len, JSON_REJECT_DUPLICATES, NULL);
        const char *reason = json_string_value(json_object_get(o, "reason"));
        snprintf(out, REASON_MAX, "%s", reason ? reason : "");
        for (char *p = out; *p; p++) {
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = ' ';
        }
        json_decref(o);
}

/* "Not now" says nothing about the publisher, who would be punished for it as for a wrong key. */
static bool is_refusal(unsigned status)
{
        return status >= 400 && status < 500 && status != 408 && status != 425 && status != 429;
}

/* Who tries to publish makes the attempts, as many as he likes; the log has the changes, the metrics have the attempts. */
static void tell_unanswered(struct publish_webhook *w, const struct http_answer *a, int64_t now_us)
{
        char shown[256], quoted[300];
        if (w->unanswered++ > 0)
                return;
        w->unanswered_since_us = now_us;
        log_quote(quoted, sizeof(quoted), http_url_shown(shown, sizeof(shown), w->config->url));
        log_warn_of(shown, "url=%s status=%d error=\"%s\" msg=\"publish_webhook gives no answer: nobody new may publish\"", quoted,
                    a->status, a->err ? a->error : "no verdict");
}

static void tell_answered(struct publish_webhook *w, int64_t now_us)
{
        char shown[256], quoted[300];
        unsigned unanswered = w->unanswered;
        w->unanswered = 0;
        if (unanswered == 0)
                return;
        log_quote(quoted, sizeof(quoted), http_url_shown(shown, sizeof(shown), w->config->url));
        log_info_of(shown, "url=%s unanswered=%u seconds=%lld msg=\"publish_webhook answers again\"", quoted, unanswered,
                    (long long)((now_us - w->unanswered_since_us) / US_PER_S));
}

static void on_answer(void *arg, const struct http_answer *a)
{
        struct webhook_call *call = magic_check(arg, CALL_MAGIC);
        struct publish_webhook *w = call->webhook;
        int64_t now_us = clock_mono_us();
        enum webhook_verdict verdict = WEBHOOK_FAILS;
        char reason[REASON_MAX] = "";
        histogram_observe(&took, now_us - call->asked_us);
        if (a->err == 0 && a->status >= 200 && a->status < 300) {
                int64_t keep_s = a->max_age_s >= 0 ? a->max_age_s : w->config->cache_s;
                verdict = WEBHOOK_ALLOWS;
                metric_add(&metrics[ALLOWED], 1);
                if (keep_s > 0)
                        remember(w, &call->question,
                                 now_us + (keep_s < WEBHOOK_CACHE_MAX_S ? keep_s : WEBHOOK_CACHE_MAX_S) * US_PER_S);
        } else if (a->err == 0 && is_refusal((unsigned)a->status)) {
                verdict = WEBHOOK_REFUSES;
                metric_add(&metrics[REFUSED], 1);
                read_reason(reason, a);
        } else {
                metric_add(&metrics[a->err == ERR_TIMEOUT ? TIMED_OUT : FAILED], 1);
        }
        if (verdict == WEBHOOK_FAILS)
                tell_unanswered(w, a, now_us);
        else
                tell_answered(w, now_us);
        webhook_done *done = call->done;
        void *done_arg = call->arg;
        call->magic = 0;
        free(call);
        done(done_arg, verdict, reason);
}

struct webhook_call *publish_webhook_ask(struct publish_webhook *w, const struct publish_request *r, bool with_key,
                                         webhook_done *done, void *arg)
{
        static const char *const headers[] = {"Content-Type: application/json", "Accept: application/json", NULL};
        struct webhook_call *call = mem_alloc(sizeof(*call));
        call->magic = CALL_MAGIC;
        call->webhook = w;
        call->question = question_of(r, with_key);
        call->asked_us = clock_mono_us();
        call->done = done;
        call->arg = arg;
        char *body = body_of(r, r->address, with_key);
        const struct http_ask ask = {.method = "POST", .url = w->config->url, .headers = headers, .body = body,
                                     .body_len = strlen(body), .timeout_ms = w->config->timeout_ms};
        int err = http_client_ask(w->http, &ask, on_answer, call, &call->request);
        free(body);
        if (err == 0)
                return call;
        metric_add(&metrics[BUSY], 1);
        call->magic = 0;
        free(call);
        return NULL;
}

void publish_webhook_cancel(struct webhook_call **cp)
{
        struct webhook_call *call = *cp;
        if (!call)
                return;
        *cp = NULL;
        http_client_cancel(&call->request);
        call->magic = 0;
        free(call);
}

/* Life ------------------------------------------------------------------------------------------------------------ */

struct publish_webhook *publish_webhook_new(uv_loop_t *loop, const struct publish_webhook_config *config)
{
        struct publish_webhook *w = mem_alloc(sizeof(*w));
        w->config = config;
        http_client_open(&w->http, loop,
                         &(struct http_client_limits){.in_flight = WEBHOOK_IN_FLIGHT, .answer_bytes = WEBHOOK_ANSWER_MAX});
        return w;
}

void publish_webhook_close(struct publish_webhook **wp)
{
        struct publish_webhook *w = *wp;
        if (!w)
                return;
        *wp = NULL;
        http_client_close(&w->http);
        free(w);
}

int publish_webhook_check(const void *value, char *why, size_t why_cap)
{
        const char *url = *(char *const *)value;
        return *url ? http_url_check(url, why, why_cap) : 0;
}
