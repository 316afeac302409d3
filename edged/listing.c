#include "edged/listing.h"

#include <string.h>

#include "edged/respond.h"

static bool is_the_same(const struct listing_answer *a, unsigned generation, const struct object *o, enum cache_result result,
                        const struct access_pass *pass)
{
        return a->response && a->generation == generation && a->result == result && a->pass.form == pass->form &&
               strcmp(a->etag, o->etag) == 0 && strcmp(a->pass.path, pass->path) == 0;
}

struct MHD_Response *listing_response(struct listing *l, struct access_memory *m, struct object *o, struct buf *body,
                                      enum cache_result result, const struct access_pass *pass)
{
        unsigned generation = access_generation(m);
        size_t len;
        for (unsigned i = 0; i < LISTING_KEPT; i++) {
                if (is_the_same(&l->kept[i], generation, o, result, pass))
                        return l->kept[i].response;
        }
        char *text = access_list(m, (const char *)body->data, body->len, pass->path, &len);
        if (!text)
                return respond_whole(o, body, result, ACCESS_PUBLIC);
        struct listing_answer *a = &l->kept[l->next++ % LISTING_KEPT];
        if (a->response)
                MHD_destroy_response(a->response);
        *a = (struct listing_answer){.response = respond_list(o, text, len, result, pass->form), .generation = generation,
                                     .result = result, .pass = *pass};
        memcpy(a->etag, o->etag, sizeof(a->etag));
        return a->response;
}

void listing_close(struct listing *l)
{
        for (unsigned i = 0; i < LISTING_KEPT; i++) {
                if (l->kept[i].response)
                        MHD_destroy_response(l->kept[i].response);
        }
}
