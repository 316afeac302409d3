#include "edged/listing.h"

#include <string.h>

#include "edged/respond.h"

static bool is_the_same(const struct listing_answer *a, unsigned generation, const struct object *o, enum cache_result result,
                        const struct access_pass *pass)
{
        return a->response && a->generation == generation && a->result == result && a->pass.form == pass->form &&
               a->digest == o->digest && strcmp(a->pass.path, pass->path) == 0 && strcmp(a->key, o->key) == 0;
}

static void forget_listing(struct listing_answer *a)
{
        if (!a->response)
                return;
        answer_unref(&a->response);
        answer_unref(&a->same);
}

const struct listing_answer *listing_find(struct listing *l, struct access_memory *m, struct object *o, struct buf *body,
                                          enum cache_result result, const struct access_pass *pass)
{
        struct listing_answers *of = strcmp(o->key, "/api/streams") == 0 ? &l->streams : &l->pages;
        unsigned generation = access_generation(m);
        size_t len;
        for (unsigned i = 0; i < LISTING_KEPT; i++) {
                if (is_the_same(&of->kept[i], generation, o, result, pass))
                        return &of->kept[i];
        }
        char *text = access_list(m, (const char *)body->data, body->len, pass->path, &len);
        if (!text)
                return NULL;
        struct listing_answer *a = &of->kept[of->next++ % LISTING_KEPT];
        forget_listing(a);
        *a = (struct listing_answer){.generation = generation, .result = result, .pass = *pass, .digest = o->digest};
        etag_write(a->etag, cache_digest(text, len));
        strcpy(a->key, o->key);
        a->response = respond_list(o, text, len, a->etag, result, pass->form);
        a->same = respond_list(o, NULL, 0, a->etag, result, pass->form);
        return a;
}

void listing_close(struct listing *l)
{
        for (unsigned i = 0; i < LISTING_KEPT; i++) {
                forget_listing(&l->streams.kept[i]);
                forget_listing(&l->pages.kept[i]);
        }
}
