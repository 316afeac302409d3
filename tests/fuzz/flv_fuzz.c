/* Tag bodies: a kind byte (video, audio, script) and a 16-bit length before each. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "ingestd/amf_cue.h"
#include "ingestd/flv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void media(struct flv *f, unsigned kind, const uint8_t *body, size_t len)
{
        struct buf *block = len ? buf_copy(body, len) : NULL;
        struct flv_frame fr;
        enum flv_verdict v = kind == 0 ? flv_video(f, block, 1, &fr) : flv_audio(f, block, 1, &fr);
        if (v == FLV_FRAME) {
                assert(fr.bytes->len > 0 && fr.bytes->len < len && f->configured[fr.track]);
                assert(!(fr.flags & FRAME_CONFIG) || fr.bytes->len <= CONFIG_RECORD_MAX);
                assert(!f->record || (f->record->len <= CONFIG_RECORD_MAX && fr.track == TRACK_VIDEO));
                buf_unref(&f->record);
                buf_unref(&fr.bytes);
                return;
        }
        assert(!f->record);
        assert((v != FLV_UNSUPPORTED && v != FLV_DAMAGED) || f->what[0]);
        assert(!block || (block->len == len && memcmp(block->data, body, len) == 0));
        buf_unref(&block);
}

static void cue(const uint8_t *body, size_t len)
{
        struct amf_cue said;
        uint8_t sei[CUE_MESSAGE_MAX];
        if (amf_cue_read(&said, body, len, 1) == 0)
                assert(said.cue.body_len > 0 && said.cue.body_len <= CUE_BODY_MAX && cue_message_write(sei, sizeof(sei), &said.cue, 0) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct flv f = {0};
        struct flv_metadata m;
        struct reader r;
        reader_init(&r, data, size);
        while (reader_left(&r) >= 3) {
                unsigned kind = reader_u8(&r) % 3;
                size_t len = reader_u16(&r);
                if (len > reader_left(&r))
                        len = reader_left(&r);
                const uint8_t *body = reader_bytes(&r, len);
                if (kind < 2)
                        media(&f, kind, body, len);
                else if (flv_script(body, len, &m))
                        cue(body, len);
        }
        return 0;
}
