/** Dense linear algebra by OpenBLAS: row-major matrices in plain arrays. */
package io.github.mla4j.convert.linalg;
