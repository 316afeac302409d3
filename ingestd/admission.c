#include "ingestd/admission.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"
#include "common/token_keys.h"
#include "ingestd/guesses.h"
#include "ingestd/publish_auth.h"
#include "ingestd/refusal.h"
#include "ingestd/turnstile.h"

#define LOOK_MS 1000

#define ADMISSION_MAGIC 0x41444d49
#define CASE_MAGIC 0x43415345

struct admission {
        uint32_t magic;
        const struct admission_config *config;
        struct token_keys *tokens;
        struct publish_webhook *webhook;
        struct guesses guesses;
        struct turnstile turnstile;
        struct admission_case *cases;
        struct admission_case *in_line; /* those that wait for their turn to begin, by due_us */
        uv_timer_t look, turn;          /* turn: the first of them is due */
};

struct admission_case {
        uint32_t magic;
        struct admission *admission;
        struct admission_case *next, **link;
        const struct admission_events *events;
        void *arg;
        struct publish_request request;
        struct publish_grant grant;
        struct webhook_call *call; /* under way; NULL: none */
        bool allowed;
        int64_t asked_us; /* when the webhook allowed it last */
        struct admission_case *line_next, **line_link; /* link NULL: it is in no line */
        int64_t due_us;
};

void admission_register_metrics(void)
{
        refusal_register();
        publish_webhook_register_metrics();
}

static int64_t now_s(void)
{
        return clock_wall_us() / US_PER_S; /* no token is over because somebody set the clock */
}

static struct publish_auth auth_of(const struct admission *a)
{
        return (struct publish_auth){.key = a->config->key, .keys = a->config->keys, .tokens = token_keys_now(a->tokens)};
}

/* Its connection logs the text, and closes the case, perhaps from inside. */
static void refuse_case(struct admission_case *c, enum refusal refusal, const char *text)
{
        refusal_count(refusal);
        c->events->refused(c->arg, text);
}

/* The webhook ----------------------------------------------------------------------------------------------------- */

/* Only where nothing here can judge it. */
static bool key_is_the_webhooks(const struct admission *a)
{
        const struct publish_auth auth = auth_of(a);
        return !publish_auth_asks(&auth);
}

static void on_webhook(void *arg, enum webhook_verdict verdict, const char *reason)
{
        struct admission_case *c = magic_check(arg, CASE_MAGIC);
        struct admission *a = c->admission;
        bool running = c->allowed;
        c->call = NULL;
        c->asked_us = clock_mono_us();
        switch (verdict) {
        case WEBHOOK_ALLOWS:
                c->allowed = true;
                if (!running)
                        c->events->allowed(c->arg);
                return;
        case WEBHOOK_REFUSES:
                if (!running)
                        guesses_wrong(&a->guesses, c->request.address, clock_mono_us());
                refuse_case(c, REFUSAL_WEBHOOK, *reason ? reason : refusal_text(REFUSAL_WEBHOOK));
                return;
        case WEBHOOK_FAILS:
                if (!running)
                        refuse_case(c, REFUSAL_WEBHOOK_FAILED, refusal_text(REFUSAL_WEBHOOK_FAILED));
                return;
        }
}

static void ask_again(struct admission_case *c)
{
        struct admission *a = c->admission;
        bool due = clock_mono_us() - c->asked_us >= a->config->recheck_s * US_PER_S;
        if (!c->allowed || c->call || !a->config->recheck_s || !*a->config->webhook.url || !due)
                return;
        c->call = publish_webhook_ask(a->webhook, &c->request, key_is_the_webhooks(a), on_webhook, c);
}

/* Looking again --------------------------------------------------------------------------------------------------- */

/* After the keys were read. */
static void look_at_all(struct admission *a)
{
        const struct publish_auth auth = auth_of(a);
        for (struct admission_case *c = a->cases, *next; c; c = next) {
                next = c->next;
                enum refusal refusal = publish_auth_goes_on(&auth, c->request.stream, &c->grant, now_s());
                if (refusal)
                        refuse_case(c, refusal, refusal_text(refusal));
        }
}

/* Time passes. */
static void on_look(uv_timer_t *t)
{
        struct admission *a = magic_check(t->data, ADMISSION_MAGIC);
        for (struct admission_case *c = a->cases, *next; c; c = next) {
                next = c->next;
                if (publish_grant_over(&c->grant, now_s()))
                        refuse_case(c, REFUSAL_OVER, refusal_text(REFUSAL_OVER));
                else
                        ask_again(c);
        }
}

static void on_tokens_changed(void *arg)
{
        look_at_all(magic_check(arg, ADMISSION_MAGIC));
}

void admission_reloaded(struct admission *a)
{
        token_keys_reload(a->tokens, a->config->jwks);
        publish_webhook_forget(a->webhook);
        look_at_all(a);
}

/* One broadcaster ------------------------------------------------------------------------------------------------- */

/* Its turn has come: the webhook is the last to be asked. */
static enum admission_verdict begin(struct admission_case *c)
{
        struct admission *a = c->admission;
        bool with_key = key_is_the_webhooks(a);
        c->asked_us = clock_mono_us();
        c->allowed = !*a->config->webhook.url || publish_webhook_knows(a->webhook, &c->request, with_key, c->asked_us);
        if (c->allowed)
                return ADMISSION_ALLOWED;
        c->call = publish_webhook_ask(a->webhook, &c->request, with_key, on_webhook, c);
        return c->call ? ADMISSION_PENDING : ADMISSION_REFUSED;
}

static void leave_line(struct admission_case *c)
{
        if (!c->line_link)
                return;
        *c->line_link = c->line_next;
        if (c->line_next)
                c->line_next->line_link = c->line_link;
        c->line_link = NULL;
}

static void on_turn(uv_timer_t *t);

static void watch_line(struct admission *a)
{
        int64_t left_us = a->in_line ? a->in_line->due_us - clock_mono_us() : 0;
        if (a->in_line)
                uv_timer_start(&a->turn, on_turn, left_us > 0 ? (uint64_t)(left_us / US_PER_MS) + 1 : 1, 0);
        else
                uv_timer_stop(&a->turn);
}

static void on_turn(uv_timer_t *t)
{
        struct admission *a = magic_check(t->data, ADMISSION_MAGIC);
        int64_t now_us = clock_mono_us();
        struct admission_case *c;
        while ((c = a->in_line) && c->due_us <= now_us) {
                leave_line(c);
                enum admission_verdict verdict = begin(c);
                if (verdict == ADMISSION_ALLOWED)
                        c->events->allowed(c->arg);
                else if (verdict == ADMISSION_REFUSED)
                        refuse_case(c, REFUSAL_WEBHOOK_FAILED, refusal_text(REFUSAL_WEBHOOK_FAILED));
        }
        watch_line(a);
}

static void stand_in_line(struct admission_case *c, int64_t due_us)
{
        struct admission_case **at = &c->admission->in_line;
        while (*at && (*at)->due_us <= due_us)
                at = &(*at)->line_next;
        c->due_us = due_us;
        c->line_next = *at;
        c->line_link = at;
        if (c->line_next)
                c->line_next->line_link = &c->line_next;
        *at = c;
        watch_line(c->admission);
}

static enum refusal judge(struct admission *a, const struct publish_request *r, struct publish_grant *grant, const char **text)
{
        const struct publish_auth auth = auth_of(a);
        if (!guesses_may_try(&a->guesses, r->address, clock_mono_us())) {
                *text = refusal_text(REFUSAL_GUESSING);
                return REFUSAL_GUESSING;
        }
        if (a->config->closed && !admission_guards(a->config)) {
                *text = refusal_text(REFUSAL_NO_KEY);
                return REFUSAL_NO_KEY;
        }
        enum refusal refusal = publish_auth_begin(&auth, r->stream, r->key, now_s(), grant, text);
        if (refusal == REFUSAL_WRONG_KEY || refusal == REFUSAL_BAD_TOKEN)
                guesses_wrong(&a->guesses, r->address, clock_mono_us());
        return refusal;
}

static struct admission_case *new_case(struct admission *a, const struct publish_request *r, const struct publish_grant *grant)
{
        struct admission_case *c = mem_alloc(sizeof(*c));
        c->magic = CASE_MAGIC;
        c->admission = a;
        c->request = *r;
        c->grant = *grant;
        c->next = a->cases;
        c->link = &a->cases;
        if (c->next)
                c->next->link = &c->next;
        a->cases = c;
        return c;
}

static enum admission_verdict refused(enum refusal refusal, const char *why, char *text, size_t text_cap)
{
        refusal_count(refusal);
        snprintf(text, text_cap, "%s", why);
        return ADMISSION_REFUSED;
}

enum admission_verdict admission_open(struct admission_case **out, struct admission *a, const struct publish_request *r,
                                      const struct admission_events *events, void *arg, char *text, size_t text_cap)
{
        struct publish_grant grant;
        const char *why = "";
        int64_t now_us = clock_mono_us();
        *out = NULL;
        enum refusal refusal = judge(a, r, &grant, &why);
        if (refusal)
                return refused(refusal, why, text, text_cap);
        if (!turnstile_enter(&a->turnstile, r->address, (unsigned)a->config->streams_of_address))
                return refused(REFUSAL_STREAMS, refusal_text(REFUSAL_STREAMS), text, text_cap);
        struct admission_case *c = *out = new_case(a, r, &grant);
        c->events = events;
        c->arg = arg;
        int64_t due_us = turnstile_when(&a->turnstile, r->address, (unsigned)a->config->starts_per_s, now_us);
        if (due_us > now_us && due_us != TURNSTILE_NEVER) {
                stand_in_line(c, due_us);
                return ADMISSION_PENDING;
        }
        refusal = due_us == TURNSTILE_NEVER ? REFUSAL_RATE : REFUSAL_WEBHOOK_FAILED;
        enum admission_verdict verdict = due_us == TURNSTILE_NEVER ? ADMISSION_REFUSED : begin(c);
        if (verdict != ADMISSION_REFUSED)
                return verdict;
        admission_close(out);
        return refused(refusal, refusal_text(refusal), text, text_cap);
}

void admission_close(struct admission_case **cp)
{
        struct admission_case *c = *cp;
        if (!c)
                return;
        *cp = NULL;
        publish_webhook_cancel(&c->call);
        leave_line(c);
        turnstile_leave(&c->admission->turnstile, c->request.address);
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        OPENSSL_cleanse(&c->request, sizeof(c->request));
        c->magic = 0;
        free(c);
}

/* Life ------------------------------------------------------------------------------------------------------------ */

int admission_new(struct admission **out, uv_loop_t *loop, const struct admission_config *config)
{
        struct admission *a = mem_alloc(sizeof(*a));
        a->magic = ADMISSION_MAGIC;
        *out = NULL;
        a->config = config;
        if (token_keys_open(&a->tokens, loop, "publish_jwks", config->jwks, on_tokens_changed, a)) {
                free(a);
                return ERR_CONFIG;
        }
        a->webhook = publish_webhook_new(loop, &config->webhook);
        turnstile_init(&a->turnstile);
        uv_timer_init(loop, &a->look);
        uv_timer_init(loop, &a->turn);
        a->look.data = a->turn.data = a;
        uv_timer_start(&a->look, on_look, LOOK_MS, LOOK_MS);
        *out = a;
        return 0;
}

static void on_closed(uv_handle_t *h)
{
        struct admission *a = magic_check(h->data, ADMISSION_MAGIC);
        a->magic = 0;
        free(a);
}

static void on_turn_closed(uv_handle_t *h)
{
        struct admission *a = magic_check(h->data, ADMISSION_MAGIC);
        uv_close((uv_handle_t *)&a->look, on_closed);
}

void admission_free(struct admission **ap)
{
        struct admission *a = *ap;
        if (!a)
                return;
        assert(!a->cases);
        *ap = NULL;
        token_keys_close(&a->tokens);
        publish_webhook_close(&a->webhook);
        uv_timer_stop(&a->look);
        uv_close((uv_handle_t *)&a->turn, on_turn_closed);
}

bool admission_guards(const struct admission_config *c)
{
        return *c->key || json_array_size(c->keys) > 0 || *c->jwks || *c->webhook.url;
}
