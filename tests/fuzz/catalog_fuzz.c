/* What another origin says of its sessions, and the comparison of it with itself. */
#include <stdint.h>
#include <stdlib.h>

#include "originD/replica/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct catalog l;
        if (catalog_read(&l, (const char *)data, size) < 0)
                return 0;
        for (size_t i = 0; i < l.count; i++)
                for (size_t t = 0; t < l.sessions[i].track_count; t++) {
                        const struct peer_track *a = &l.sessions[i].tracks[t], *b = &l.sessions[0].tracks[0];
                        struct eras copy = {0};
                        uint64_t place, end = eras_place(l.sessions[i].chunk_ms, a->next_segment, a->next_chunk);
                        if (l.sessions[0].track_count)
                                eras_part(&a->eras, &b->eras, end, &place);
                        eras_adopt(&copy, &a->eras, end / 2);
                        for (size_t k = 1; k < copy.count; k++)
                                if (copy.list[k - 1].place >= copy.list[k].place)
                                        abort();
                        eras_free(&copy);
                }
        catalog_free(&l);
        return 0;
}
