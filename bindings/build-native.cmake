# Configures (once), builds and installs ../native for the bindings and puts libmla into LIBRARIES.
# cmake -DSOURCE=... -DBUILD=... -DLIBRARIES=... -DCUDA=ON|OFF -P build-native.cmake
foreach(name SOURCE BUILD LIBRARIES)
  if(NOT ${name})
    message(FATAL_ERROR "-D${name}= is missing")
  endif()
endforeach()

if(NOT EXISTS ${BUILD}/CMakeCache.txt)
  find_program(NINJA ninja)
  set(generator)
  if(NINJA)
    set(generator -G Ninja)
  endif()
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} ${generator} -DCMAKE_BUILD_TYPE=Release -DMLA_BUILD_TESTS=OFF
            -DMLA_BUILD_BENCHMARKS=OFF -DMLA_CUDA=${CUDA} -DCMAKE_INSTALL_LIBDIR=${LIBRARIES} -DCMAKE_INSTALL_PREFIX=${BUILD}/install
    COMMAND_ERROR_IS_FATAL ANY)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --parallel COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
