/* version.h - the one place that says which version this is. */
#ifndef PN_BASE_VERSION_H
#define PN_BASE_VERSION_H

#define PN_VERSION "0.1.0"

#endif
