#include "common/daemon/admin_call.h"

#include <stdarg.h>
#include <stdio.h>

void admin_refuse(struct admin_call *call, unsigned status, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(call->error, sizeof(call->error), fmt, ap);
        va_end(ap);
        call->status = status;
}

const char *admin_text(struct admin_call *call, const char *name, size_t least, size_t most)
{
        const json_t *given = json_object_get(call->body, name);
        size_t len = json_string_length(given);
        if (json_is_string(given) && len >= least && len <= most)
                return json_string_value(given);
        admin_refuse(call, 400, "%s: given %s, allowed: a string of %zu to %zu bytes", name,
                     !given ? "nothing" : json_is_string(given) ? "one of another length" : "something else", least, most);
        return NULL;
}
