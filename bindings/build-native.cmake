# Configures (once), builds and installs ../native for the bindings and puts libmla into LIBRARIES.
# cmake -DSOURCE=... -DBUILD=... -DLIBRARIES=... -DCUDA=ON|OFF -DPLATFORM=... -DCOMPILER=... -P build-native.cmake
# PLATFORM is JavaCPP's name; where COMPILER is another machine's, cmake/PLATFORM.cmake tells CMake about that.
foreach(name SOURCE BUILD LIBRARIES)
  if(NOT ${name})
    message(FATAL_ERROR "-D${name}= is missing")
  endif()
endforeach()

if(EXISTS ${BUILD}/CMakeCache.txt)
  # A checkout that was copied or moved since: CMake would refuse to go on in it.
  file(STRINGS ${BUILD}/CMakeCache.txt made REGEX "^CMAKE_CACHEFILE_DIR:INTERNAL=")
  string(REGEX REPLACE "^[^=]*=" "" made "${made}")
  file(REAL_PATH "${made}" made)
  file(REAL_PATH ${BUILD} here)
  if(NOT made STREQUAL here)
    file(REMOVE_RECURSE ${BUILD})
  endif()
endif()
if(NOT EXISTS ${BUILD}/CMakeCache.txt)
  find_program(NINJA ninja)
  set(generator)
  if(NINJA)
    set(generator -G Ninja)
  endif()
  set(toolchain)
  if(NOT COMPILER STREQUAL g++)
    set(toolchain --toolchain ${SOURCE}/../cmake/${PLATFORM}.cmake)
  endif()
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} ${generator} ${toolchain} -DCMAKE_BUILD_TYPE=Release -DMLA_BUILD_TESTS=OFF
            -DMLA_BUILD_BENCHMARKS=OFF -DMLA_CUDA=${CUDA} -DCMAKE_INSTALL_LIBDIR=${LIBRARIES} -DCMAKE_INSTALL_PREFIX=${BUILD}/install
    COMMAND_ERROR_IS_FATAL ANY)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --parallel COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
