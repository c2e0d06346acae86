/** Not API: what the packages of this module share on their way to the C API. */
package io.github.mla4j.internal;
