/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stagegate paravirtual IOMMU: what the two halves of the driver share.
 */
#ifndef STAGEGATE_DRIVER_H
#define STAGEGATE_DRIVER_H

#include <linux/arm-smccc.h>
#include <linux/errno.h>
#include <linux/iommu.h>

#include "stagegate-abi.h"

/* What FEATURES said; the interface is one per VM, so there is one of these */
struct stagegate_features {
	u64 functions;
	u64 flags;
	u64 pgsize_bitmap;
	unsigned int iova_bits;
	unsigned int list_max;
};

extern struct stagegate_features stagegate_features;
extern const struct iommu_domain_ops stagegate_domain_ops;

/* Whole registers: the upper halves of 32-bit arguments must be zero */
static inline void __stagegate_call(struct arm_smccc_res *res, u32 id,
				    unsigned long a1, unsigned long a2,
				    unsigned long a3, unsigned long a4,
				    unsigned long a5)
{
	arm_smccc_1_1_hvc(id, a1, a2, a3, a4, a5, res);
}

#define __stagegate_five(res, id, a1, a2, a3, a4, a5, ...) \
	__stagegate_call(res, id, a1, a2, a3, a4, a5)

/* Issues a call with up to five arguments; the others are zero */
#define stagegate_call(res, id, ...) \
	__stagegate_five(res, id, ##__VA_ARGS__, 0, 0, 0, 0, 0)

/* An error number for the status in x0 */
static inline int stagegate_errno(const struct arm_smccc_res *res)
{
	switch ((long)res->a0) {
	case STAGEGATE_STATUS_SUCCESS:
		return 0;
	case STAGEGATE_STATUS_NOT_SUPPORTED:
		return -EOPNOTSUPP;
	case STAGEGATE_STATUS_INVALID_PARAMETER:
		return -EINVAL;
	case STAGEGATE_STATUS_NO_MEMORY:
		return -ENOMEM;
	case STAGEGATE_STATUS_RETRY:
		return -EAGAIN;
	case STAGEGATE_STATUS_DENIED:
		return -EPERM;
	case STAGEGATE_STATUS_NOT_REQUIRED:
	case STAGEGATE_STATUS_NOT_FOUND:
		return -ENOENT;
	case STAGEGATE_STATUS_EXISTS:
		return -EEXIST;
	case STAGEGATE_STATUS_POWERED_OFF:
		return -ENXIO;
	case STAGEGATE_STATUS_BUSY:
		return -EBUSY;
	default:
		return -EIO;
	}
}

int stagegate_attach_id(u32 id, struct device *dev);
struct iommu_domain *stagegate_domain_alloc_paging(struct device *dev);

int stagegate_lists_alloc(void);
void stagegate_lists_free(void);

#endif /* STAGEGATE_DRIVER_H */
