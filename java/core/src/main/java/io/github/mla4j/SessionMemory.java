package io.github.mla4j;

/**
 * What a session holds now.
 *
 * @param cacheBytes of the cache, whole pages
 * @param workspaceBytes of the bounded scratch memory besides it
 */
public record SessionMemory(long cacheBytes, long workspaceBytes) {}
