/* amf_cue: what broadcasters say at a moment is told from all else, as JSON or as the section that it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/err.h"
#include "ingestd/amf_cue.h"
#include "tests/unit/rtmp_bytes.h"

/* A splice_insert of 30 s, out of the network, as sections are shown in SCTE 35, 14.2. */
#define SECTION "/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo="
#define SECTION_LEN 50

static struct amf_cue cue;

static int read_cue(struct bytes *b, uint32_t at_ms)
{
        int err = amf_cue_read(&cue, b->p, b->len, at_ms);
        bytes_free(b);
        return err;
}

static void begin(struct bytes *b, const char *message)
{
        amf_string(b, message), put_be(b, 8, 1), put_be(b, 0, 4);
}

static void assert_says(const char *json)
{
        assert_int_equal(cue.cue.kind, CUE_AMF);
        assert_int_equal(cue.cue.body_len, strlen(json));
        assert_memory_equal(cue.cue.body, json, strlen(json));
}

static void test_text_is_told_as_json_at_its_messages_time(void **state)
{
        (void)state;
        struct bytes b = {0};
        begin(&b, "onTextData"), amf_key(&b, "text"), amf_string(&b, "Gr\xc3\xbc\xc3\x9f \"dich\""), amf_key(&b, "n"), amf_number(&b, 1.5);
        amf_key(&b, "on"), put(&b, "\1\1", 2), amf_key(&b, "bad"), amf_string(&b, "\xff\xfe"), amf_end(&b);
        assert_int_equal(read_cue(&b, 4711), 0);
        assert_int_equal(cue.at_ms, 4711);
        assert_int_equal(cue.cue.duration_ms, CUE_NO_DURATION);
        assert_says("{\"name\":\"onTextData\",\"data\":{\"text\":\"Gr\xc3\xbc\xc3\x9f \\\"dich\\\"\",\"n\":1.5,\"on\":true,\"bad\":null}}");
        amf_string(&b, "onTextData"), amf_string(&b, "just this");
        assert_int_equal(read_cue(&b, 1), 0);
        assert_says("{\"name\":\"onTextData\",\"data\":\"just this\"}");
}

static void test_cue_points_keep_their_parameters_time_and_duration(void **state)
{
        (void)state;
        struct bytes b = {0};
        begin(&b, "onCuePoint"), amf_key(&b, "name"), amf_string(&b, "goal"), amf_key(&b, "time"), amf_number(&b, 7.25);
        amf_key(&b, "duration"), amf_number(&b, 12), amf_key(&b, "parameters"), put_be(&b, 3, 1), amf_key(&b, "team"), amf_number(&b, 2);
        amf_end(&b), amf_end(&b);
        assert_int_equal(read_cue(&b, 5000), 0);
        assert_int_equal(cue.at_ms, 7250);
        assert_int_equal(cue.cue.duration_ms, 12000);
        assert_says("{\"name\":\"onCuePoint\",\"data\":{\"name\":\"goal\",\"time\":7.25,\"duration\":12,\"parameters\":{\"team\":2}}}");
        begin(&b, "onCuePoint"), amf_key(&b, "time"), amf_number(&b, 1e9), amf_key(&b, "duration"), amf_number(&b, -1), amf_end(&b);
        assert_int_equal(read_cue(&b, 5000), 0); /* of another clock */
        assert_int_equal(cue.at_ms, 5000);
        assert_int_equal(cue.cue.duration_ms, CUE_NO_DURATION);
}

static void test_a_splice_is_kept_as_the_section_that_it_is(void **state)
{
        (void)state;
        struct bytes b = {0};
        for (int n = 0; n < 2; n++) {
                begin(&b, "onAdCue"), amf_key(&b, "type"), amf_string(&b, n ? "SCTE-35" : "scte35"), amf_key(&b, n ? "data" : "cue");
                amf_string(&b, SECTION), amf_key(&b, "duration"), amf_number(&b, 30), amf_end(&b);
                assert_int_equal(read_cue(&b, 9), 0);
                assert_int_equal(cue.cue.kind, CUE_SCTE35);
                assert_int_equal(cue.cue.body_len, SECTION_LEN);
                assert_memory_equal(cue.cue.body, "\xfc\x30\x2f", 3);
                assert_int_equal(cue.cue.duration_ms, 30000);
        }
        begin(&b, "onAdCue"), amf_key(&b, "type"), amf_string(&b, "scte35"), amf_key(&b, "cue"), amf_string(&b, "/DAv"), amf_end(&b);
        assert_int_equal(read_cue(&b, 9), 0); /* none that could be one: told as what it is */
        assert_says("{\"name\":\"onAdCue\",\"data\":{\"type\":\"scte35\",\"cue\":\"/DAv\"}}");
        begin(&b, "onAdCue"), amf_key(&b, "type"), amf_string(&b, "SpliceOut"), amf_key(&b, "cue"), amf_string(&b, SECTION), amf_end(&b);
        assert_int_equal(read_cue(&b, 9), 0);
        assert_int_equal(cue.cue.kind, CUE_AMF);
}

static void test_other_messages_and_nonsense_are_no_cues(void **state)
{
        (void)state;
        struct bytes b = {0};
        begin(&b, "onMetaData"), amf_end(&b);
        assert_int_equal(read_cue(&b, 0), ERR_NOT_FOUND);
        amf_string(&b, "onTextData");
        assert_int_equal(read_cue(&b, 0), ERR_NOT_FOUND);
        amf_string(&b, "onTextData"), amf_null(&b);
        assert_int_equal(read_cue(&b, 0), ERR_NOT_FOUND);
        amf_string(&b, "onTextData"), put_be(&b, 0x77, 1);
        assert_int_equal(read_cue(&b, 0), ERR_PROTO);
        assert_int_equal(read_cue(&b, 0), ERR_NOT_FOUND);
        begin(&b, "onTextData"), amf_key(&b, "text"), put_be(&b, 2, 1), put_be(&b, CUE_BODY_MAX, 2), put_fill(&b, 'x', CUE_BODY_MAX), amf_end(&b);
        assert_int_equal(read_cue(&b, 0), ERR_LIMIT);
        begin(&b, "onTextData");
        for (int i = 0; i < 40; i++)
                amf_key(&b, "k"), put_be(&b, 3, 1);
        assert_int_equal(read_cue(&b, 0), ERR_LIMIT);
        begin(&b, "onTextData"), put_fill(&b, 0, AMF_CUE_MESSAGE_MAX);
        assert_int_equal(read_cue(&b, 0), ERR_LIMIT);
}

/* Every message that is cut off anywhere, in memory of just its size. */
static void test_what_is_cut_off_is_read_within_its_bounds(void **state)
{
        (void)state;
        struct bytes b = {0};
        begin(&b, "onCuePoint"), amf_key(&b, "parameters"), put_be(&b, 3, 1), amf_key(&b, "team"), amf_string(&b, "x"), amf_end(&b), amf_end(&b);
        for (size_t n = 0; n < b.len; n++) {
                uint8_t *copy = malloc(n + !n);
                memcpy(copy, b.p, n);
                (void)amf_cue_read(&cue, copy, n, 0);
                free(copy);
        }
        bytes_free(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_is_told_as_json_at_its_messages_time),
                cmocka_unit_test(test_cue_points_keep_their_parameters_time_and_duration),
                cmocka_unit_test(test_a_splice_is_kept_as_the_section_that_it_is),
                cmocka_unit_test(test_other_messages_and_nonsense_are_no_cues),
                cmocka_unit_test(test_what_is_cut_off_is_read_within_its_bounds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
