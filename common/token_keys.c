#include "common/token_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/file_watch.h"
#include "common/magic.h"
#include "common/mem.h"

#define WHY_MAX 200

#define TOKEN_KEYS_MAGIC 0x544f4b45

struct token_keys {
        uint32_t magic;
        const char *setting;
        char *path;
        struct jwt_keys *keys; /* NULL: there is no file, or none could be used yet */
        struct file_watch *watch;
        uv_timer_t retry; /* active: the last read failed */
        char told[WHY_MAX]; /* the reason that is in the log; "": all is well */
        token_keys_changed *changed;
        void *arg;
};

static void tell_failure(struct token_keys *k, const char *why)
{
        char path[300], error[300];
        if (strcmp(k->told, why) == 0)
                return;
        snprintf(k->told, sizeof(k->told), "%s", why);
        log_error("msg=\"cannot use the keys of tokens%s\" %s=%s error=%s", k->keys ? "; those from before stay" : "", k->setting,
                  log_quote(path, sizeof(path), k->path), log_quote(error, sizeof(error), why));
}

static void tell_keys(struct token_keys *k)
{
        struct jwt_keys_info info;
        char path[300];
        *k->told = '\0';
        jwt_keys_tell(k->keys, &info);
        log_info("msg=\"keys of tokens\" %s=%s hs256=%u es256=%u left_out=%u", k->setting, log_quote(path, sizeof(path), k->path),
                 info.hs256, info.es256, info.left_out);
        if (info.with_private)
                log_warn("msg=\"%s holds private keys: who verifies needs only the public halves\" keys=%u", k->setting,
                         info.with_private);
}

/* 0: the file's keys are in use. */
static int read_keys(struct token_keys *k)
{
        char why[WHY_MAX];
        struct jwt_keys *fresh = NULL;
        int err = *k->path ? jwt_keys_load(&fresh, k->path, why, sizeof(why)) : 0;
        if (err) {
                tell_failure(k, why);
                return err;
        }
        jwt_keys_unref(&k->keys);
        k->keys = fresh;
        if (fresh)
                tell_keys(k);
        return 0;
}

static void read_again(struct token_keys *k);

static void on_retry(uv_timer_t *timer)
{
        read_again(magic_check(timer->data, TOKEN_KEYS_MAGIC));
}

static void on_file_changed(void *arg)
{
        read_again(magic_check(arg, TOKEN_KEYS_MAGIC));
}

/* Whether it has to be tried again. */
static void set_retry(struct token_keys *k, int err)
{
        if (err)
                uv_timer_start(&k->retry, on_retry, TOKEN_KEYS_RETRY_MS, 0);
        else
                uv_timer_stop(&k->retry);
}

static void read_again(struct token_keys *k)
{
        int err = read_keys(k);
        set_retry(k, err);
        if (err == 0)
                k->changed(k->arg); /* perhaps k is closed by it */
}

/* Before the file is read: a change between the two would not be told. */
static void watch_path(struct token_keys *k, const char *path)
{
        file_watch_close(k->watch);
        free(k->path);
        k->path = mem_strdup(path);
        k->watch = *path ? file_watch_open(k->retry.loop, &path, 1, on_file_changed, k) : NULL;
}

int token_keys_open(struct token_keys **out, uv_loop_t *loop, const char *setting, const char *path, token_keys_changed *changed,
                    void *arg)
{
        struct token_keys *k = mem_alloc(sizeof(*k));
        k->magic = TOKEN_KEYS_MAGIC;
        k->setting = setting;
        k->changed = changed;
        k->arg = arg;
        uv_timer_init(loop, &k->retry);
        uv_unref((uv_handle_t *)&k->retry); /* a loop that has nothing else to do may end */
        k->retry.data = k;
        watch_path(k, path);
        int err = read_keys(k);
        if (err)
                token_keys_close(&k);
        *out = k;
        return err;
}

void token_keys_reload(struct token_keys *k, const char *path)
{
        if (strcmp(path, k->path) != 0)
                watch_path(k, path);
        *k->told = '\0'; /* who asks gets an answer */
        set_retry(k, read_keys(k));
}

struct jwt_keys *token_keys_now(const struct token_keys *k)
{
        return k->keys;
}

static void on_closed(uv_handle_t *handle)
{
        struct token_keys *k = magic_check(handle->data, TOKEN_KEYS_MAGIC);
        free(k->path);
        k->magic = 0;
        free(k);
}

void token_keys_close(struct token_keys **kp)
{
        struct token_keys *k = *kp;
        if (!k)
                return;
        *kp = NULL;
        file_watch_close(k->watch);
        jwt_keys_unref(&k->keys);
        uv_close((uv_handle_t *)&k->retry, on_closed);
}

int token_keys_check(const char *setting, const char *path, char *why, size_t why_cap)
{
        char wrong[WHY_MAX];
        struct jwt_keys *keys = NULL;
        int err = *path ? jwt_keys_load(&keys, path, wrong, sizeof(wrong)) : 0;
        jwt_keys_unref(&keys);
        if (err == 0)
                return 0;
        snprintf(why, why_cap, "%s: given \"%.80s\", %s", setting, path, wrong);
        return ERR_CONFIG;
}
