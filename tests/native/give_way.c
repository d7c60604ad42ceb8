/* Preloaded into early_rtp.py: a thread that asks for it pauses whenever it has let go of a lock, so that who waits for the
 * lock gets it. What happens by chance in one call of some hundred on a busy machine then happens in each.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

static __thread int asked;

void give_way(int on) { asked = on; }

int pthread_mutex_unlock(pthread_mutex_t *mutex) {
    int (*unlock)(pthread_mutex_t *) = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    const int status = unlock(mutex);
    if (asked)
        usleep(500);
    return status;
}
